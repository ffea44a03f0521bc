"""What every single pass of an answer verified and kept, in the fields that vLLM gives it."""

from __future__ import annotations

import pytest

from ..serving import MODEL, serving

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 12}
DRAFTED = {"agentspark": {"speculation": "dspark", "verify": "full"}, "temperature": 0}
LEGACY = {"model": MODEL, "prompt": ["a", "b"], "max_tokens": 12, **DRAFTED}


@pytest.fixture(scope="module")
def detailed(make_engine):
    with serving(make_engine(round_counts=True)) as running:
        yield running


def test_every_step_of_an_answer_is_told(detailed):
    told = detailed.post("/v1/chat/completions", json={**CHAT, **DRAFTED}).json()
    spec = told["metrics"]["speculative_decoding"]
    accepted, drafted = spec["per_step_accepted"], spec["per_step_drafted"]
    assert len(accepted) == len(drafted) == spec["num_spec_steps"] > 0
    assert sum(accepted) == spec["num_accepted_draft_tokens"]
    assert sum(drafted) == spec["num_draft_tokens"] > 0


def test_the_steps_of_choices_follow_one_another(detailed):
    told = detailed.post("/v1/completions", json=LEGACY).json()
    spec = told["metrics"]["speculative_decoding"]
    alone = []
    for prompt in LEGACY["prompt"]:
        one = detailed.post("/v1/completions", json={**LEGACY, "prompt": prompt}).json()
        alone += one["metrics"]["speculative_decoding"]["per_step_accepted"]
    assert spec["per_step_accepted"] == alone


def test_a_server_that_is_not_asked_does_not_tell(served):
    told = served.post("/v1/chat/completions", json={**CHAT, **DRAFTED}).json()
    spec = told["metrics"]["speculative_decoding"]
    assert spec["num_spec_steps"] > 0
    assert not {"per_step_accepted", "per_step_drafted"} & set(spec)
