"""From a completion to a record: nothing lost, nothing private kept unasked."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.recording import from_completion
from agentspark.engine.result import Timings
from agentspark.errors import ContextLengthError, TraceWriteError
from agentspark.sampling.params import SamplingParams
from agentspark.trace import (
    Detail,
    EngineFacts,
    describe_environment,
    token_hash,
)


def test_every_count_and_time_arrives(make_completion):
    record = from_completion(make_completion())

    assert (record.run, record.step, record.step_name, record.step_kind) == (
        "task",
        2,
        "read",
        "tool",
    )
    assert (record.prompt_tokens, record.cached_tokens, record.completion_tokens) == (8, 4, 7)
    assert (record.rounds, record.draft_tokens) == (3, 21)
    assert (record.verified_tokens, record.accepted_tokens) == (11, 3)
    assert record.accepted_histogram == [1, 1, 1]
    assert record.accepted_length == 2.0
    assert record.reasoning_tokens is None
    assert record.cache_break_position == 4
    assert (record.queue_ms, record.prefill_ms, record.ttft_ms) == (1.0, 200.0, 201.0)
    assert (record.decode_ms, record.total_ms) == (300.0, 501.0)
    assert record.ended_unix == pytest.approx(record.started_unix + 0.501)
    assert record.output_hash == token_hash([10, 11, 12, 13, 14, 15, 16])
    assert record.succeeded


def test_reasoning_is_counted_where_the_model_reasons(make_completion):
    for tokens in (0, 5):
        counts = replace(make_completion().counts, reasoning_tokens=tokens)
        assert from_completion(make_completion(counts=counts)).reasoning_tokens == tokens


def test_unknown_times_stay_unknown(make_completion):
    record = from_completion(make_completion(timings=Timings(1.0)))

    assert record.decode_ms is None
    assert record.ended_unix is None
    assert json.loads(record.to_json_line())["decode_ms"] is None


def test_accepted_length_is_unknown_before_the_first_round(make_completion):
    completion = make_completion()
    completion.counts.rounds = 0

    assert from_completion(completion).accepted_length is None


def test_options_and_facts_of_the_engine(make_completion):
    facts = EngineFacts(
        exact=True, dtype="bfloat16", device="cuda:0", environment=describe_environment(threads=3)
    )
    record = from_completion(
        make_completion(options=RequestOptions(speculation="suffix", verify=4, share_prefix=False)),
        engine=facts,
        sampling=SamplingParams(temperature=0.5, seed=7, max_tokens=9),
    )

    assert record.options.model_dump() == {
        "speculation": "suffix",
        "verify": 4,
        "share_prefix": False,
        "exact": True,
        "dtype": "bfloat16",
        "device": "cuda:0",
    }
    assert record.sampling is not None
    assert (record.sampling.temperature, record.sampling.seed) == (0.5, 7)
    assert record.environment is not None
    assert record.environment.threads == 3


def test_repetition_is_split_from_the_run(make_completion):
    record = from_completion(make_completion(labels=Labels(run="task::r3")))

    assert (record.run, record.repeat) == ("task", 3)


def test_prompts_and_outputs_are_kept_only_when_asked_for(make_completion):
    plain = json.loads(from_completion(make_completion()).to_json_line())
    full = from_completion(
        make_completion(),
        detail=Detail(prompt_token_ids=True, output_token_ids=True),
    )

    assert not {"prompt_token_ids", "output_token_ids", "output_margins"} & plain.keys()
    assert "hello" not in json.dumps(plain)
    assert full.prompt_token_ids == [1, 2, 3, 4, 5, 6, 7, 8]


def test_failure_is_recorded(make_completion):
    record = from_completion(
        make_completion(finish_reason="error"), error=ContextLengthError("too long")
    )

    assert record.error is not None
    assert (record.error.type, record.error.message) == ("ContextLengthError", "too long")
    assert not record.succeeded


def test_cancelled_call_did_not_succeed(make_completion):
    assert not from_completion(make_completion(finish_reason="cancelled")).succeeded


def test_label_of_a_wrong_type_is_a_clear_error(make_completion):
    with pytest.raises(TraceWriteError, match="run: Input should be a valid string"):
        from_completion(make_completion(labels=Labels(run=5)))  # type: ignore[arg-type]


def test_margins_are_kept_where_they_are_asked_for(make_completion):
    margins, asked = [2.4, -2.4], Detail(output_margins=True)

    assert from_completion(make_completion(), margins=margins).output_margins is None
    assert from_completion(make_completion(), margins=margins, detail=asked).output_margins == (
        margins
    )
