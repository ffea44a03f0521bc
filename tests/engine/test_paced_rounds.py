"""Which rounds tell whether the drafter pays: those in which it makes a difference."""

from __future__ import annotations

import pytest

from agentspark.drafting.guarded import GuardedDrafter
from agentspark.drafting.pace import DraftPace
from agentspark.engine import proposing
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions, Speculation
from agentspark.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=24, temperature=0.0, ignore_eos=True)
PROMPT = [(7 * i) % 200 + 3 for i in range(40)]


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("copies_do", [True, False])
def test_rounds_that_copies_decide_are_not_counted(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch, copies_do: bool, pays: bool
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(proposing, "prefer_copy", lambda *_, **__: copies_do)
    monkeypatch.setattr(DraftPace, "drafts", lambda *_: pays)
    monkeypatch.setattr(DraftPace, "observe", lambda _self, _streams, n, _s: counted.append(n))
    plain = tiny_engine.generate(PROMPT, GREEDY, options=RequestOptions(speculation="off"))
    assert counted == []
    own = RequestOptions(cache_salt=f"paced {copies_do} {pays}")
    done = tiny_engine.generate(PROMPT, GREEDY, options=own)
    assert done.token_ids == plain.token_ids
    assert bool(counted) != copies_do
    # The prefill's token and a last one alone have no draft to be counted for.
    assert sum(counted) in (0, 22, 23)


def test_who_asks_for_the_drafter_gets_it_and_is_not_counted(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(DraftPace, "drafts", lambda *_: False)
    monkeypatch.setattr(DraftPace, "observe", lambda _self, _streams, n, _s: counted.append(n))
    own = RequestOptions(speculation="dspark", verify="full", cache_salt="paced by name")
    assert tiny_engine.generate(PROMPT, GREEDY, options=own).counts.draft_tokens
    assert counted == []


@pytest.mark.parametrize("speculation", ["auto", "dspark"])
def test_where_nothing_is_verified_nothing_is_drafted(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch, speculation: Speculation
) -> None:
    monkeypatch.setattr(GuardedDrafter, "propose", lambda *_: pytest.fail("a pass for nothing"))
    own = RequestOptions(speculation=speculation, verify=0, cache_salt="nothing verified")
    done = tiny_engine.generate(PROMPT, GREEDY, options=own)
    plain = tiny_engine.generate(PROMPT, GREEDY, options=RequestOptions(speculation="off"))
    assert done.token_ids == plain.token_ids
    assert done.counts.verified_tokens == 0
