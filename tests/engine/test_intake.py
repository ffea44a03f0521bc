"""What a comparison's arm and run make of a request."""

from __future__ import annotations

from agentspark.engine.intake import labelled, limited
from agentspark.engine.params import Labels, RequestOptions
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
