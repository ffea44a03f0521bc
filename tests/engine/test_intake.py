"""What a comparison's arm and run make of a request."""

from __future__ import annotations

import pytest

from agentspark.engine.engine import Engine
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.intake import labelled, limited
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import InvalidRequestError
from agentspark.sampling.params import SamplingParams
from agentspark.trace import TraceContext


def test_without_a_comparison_a_request_stays_as_it_is() -> None:
    labels, options = Labels(step_name="read"), RequestOptions()

    assert labelled(labels, TraceContext()) == labels
    assert limited(options, TraceContext()) is options


def test_the_baseline_neither_drafts_nor_shares() -> None:
    options = RequestOptions(speculation="suffix", cache_salt="tenant")

    baseline = limited(options, TraceContext(arm="baseline"))

    assert baseline == RequestOptions(speculation="off", share_prefix=False, cache_salt="tenant")
    assert limited(options, TraceContext(arm="accelerated")) is options


def test_labels_are_completed_and_kept() -> None:
    context = TraceContext(arm="baseline", run="agent::r2")

    first, second = (labelled(Labels(step_name=name, parent="p"), context) for name in "ab")

    assert first == Labels(run="agent::r2", step=1, step_name="a", parent="p", arm="baseline")
    assert (second.step, second.step_name) == (2, "b")


def test_a_refused_request_takes_no_step_number(tiny_engine: Engine) -> None:
    labels, sampling = Labels(run="refused"), SamplingParams(max_tokens=1)
    bad = Constraint.json_schema({"type": "string", "pattern": "(?<=a)b"}, strict=True)
    request = Request(prompt_token_ids=[5, 6], labels=labels, sampling=sampling, constraint=bad)
    with pytest.raises(InvalidRequestError):
        tiny_engine.submit(request)
    done = tiny_engine.generate([5, 6], sampling, labels=labels)
    assert done.labels.step == 1
