"""The drafter's context: whatever waits, it ends up with every committed token in its slot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentspark.drafting.drafter import ContextRows, Drafter
from agentspark.drafting.pace import DraftPace
from agentspark.drafting.proposal import Proposal
from agentspark.engine.context import DrafterContext
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.runner import RowOutputs
from agentspark.engine.sequence import Sequence
from agentspark.sampling.params import SamplingParams

BLOCK = 4
GREEDY = SamplingParams(max_tokens=60, temperature=0.0, ignore_eos=True)


class Recorder:
    """Takes the place of a drafter: what every slot was given, and the slot before it."""

    def __init__(self) -> None:
        self.slots: dict[int, tuple[int, int, float, int]] = {}
        self.calls = 0

    def append(self, features: torch.Tensor, rows: ContextRows) -> None:
        self.calls += 1
        columns = (rows.slots, rows.tokens, rows.positions, features[:, 0], rows.before)
        for slot, *rest in zip(*(column.tolist() for column in columns), strict=True):
            self.slots[slot] = cast("tuple[int, int, float, int]", tuple(rest))


def make_sequence(number: int, prompt: int) -> Any:
    blocks = [100 * number + 2 * i for i in range(100)]
    tokens = [1000 * number + i for i in range(prompt)]
    return cast(
        "Sequence",
        _Stub(
            tokens=tokens,
            computed=0,
            blocks=blocks,
            first_row=0,
            uses_drafter=True,
            proposal=Proposal(),
        ),
    )


class _Stub(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]


def commit(context: DrafterContext, sequences: list[Any], counts: list[int]) -> None:
    """One round: rows of all sequences in one forward; a row's feature is its token."""
    rows: list[int] = []
    for sequence, count in zip(sequences, counts, strict=True):
        sequence.first_row = len(rows)
        first = sequence.computed
        while len(sequence.tokens) < first + count:
            sequence.tokens.append(sequence.tokens[-1] + 1)
        # One row more than is kept: a rejected draft.
        rows.extend([*sequence.tokens[first : first + count], -1])
    features = torch.tensor(rows, dtype=torch.float32)[:, None]
    kept = dict(zip(sequences, counts, strict=True))
    context.add(kept, RowOutputs(torch.empty(0), features))
    for sequence, count in kept.items():
        sequence.computed += count


@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 5), st.sampled_from(["", "a", "b", "ab"])),
        min_size=1,
        max_size=25,
    )
)
def test_waiting_rows_are_taken_in_as_if_at_once(rounds: list[tuple[int, int, str]]) -> None:
    lazy, eager = Recorder(), Recorder()
    for recorder, every in ((lazy, False), (eager, True)):
        context = DrafterContext(cast("Drafter", recorder), BLOCK)
        a, b = make_sequence(1, 7), make_sequence(2, 3)
        for first, second, flushed in rounds:
            commit(context, [a, b], [first, second])
            chosen = [s for name, s in (("a", a), ("b", b)) if every or name in flushed]
            context.flush(chosen)
        context.flush([a, b])
        assert len(recorder.slots) == a.computed + b.computed
        calls = recorder.calls
        context.flush([a, b])
        assert recorder.calls == calls
    assert lazy.slots == eager.slots


def test_what_is_dropped_is_never_taken_in() -> None:
    recorder = Recorder()
    context = DrafterContext(cast("Drafter", recorder), BLOCK)
    gone, stays = make_sequence(1, 5), make_sequence(2, 5)
    commit(context, [gone, stays], [4, 4])
    context.drop(gone)
    context.flush([gone, stays])
    assert {token // 1000 for token, *_ in recorder.slots.values()} == {2}


def test_no_more_than_a_bound_waits() -> None:
    recorder = Recorder()
    context = DrafterContext(cast("Drafter", recorder), BLOCK)
    sequence = make_sequence(1, 2)
    for _ in range(300):
        commit(context, [sequence], [1])
    assert recorder.calls == 1


def test_drafts_after_rounds_without_the_drafter_are_those_of_one_that_always_ran(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [(7 * i) % 200 + 3 for i in range(90)]
    written = tiny_engine.generate(prompt, GREEDY, options=RequestOptions(share_prefix=False))
    longer = [*prompt, *written.token_ids, 5, 6, 7]
    drafts = []
    for pays in (True, False):
        with monkeypatch.context() as patch:
            patch.setattr(DraftPace, "drafts", lambda _self, _streams, pays=pays: pays)
            salted = RequestOptions(cache_salt=f"context {pays}")
            first = tiny_engine.generate(prompt, GREEDY, options=salted)
        assert first.token_ids == written.token_ids
        drafts.append(_drafts_of(tiny_engine, longer, f"context {pays}"))
    assert drafts[0] and drafts[0] == drafts[1]


def _drafts_of(engine: Engine, prompt: list[int], salt: str) -> list[list[int]]:
    """All that the drafter proposes for a prompt whose beginning is cached."""
    seen: list[list[int]] = []
    whole = RequestOptions(speculation="dspark", verify="full", cache_salt=salt)
    with engine.watch_rounds(lambda p, *_: seen.append(p.token_ids)):
        assert engine.generate(prompt, GREEDY, options=whole).counts.cached_tokens > 100
    return seen


def test_drafts_late_in_a_request_are_those_of_a_prompt_that_long(tiny_engine: Engine) -> None:
    prompt = [(11 * i) % 200 + 3 for i in range(70)]
    written = tiny_engine.generate(prompt, GREEDY, options=RequestOptions(share_prefix=False))
    late = _drafts_at(tiny_engine, prompt)
    soon = _drafts_at(tiny_engine, [*prompt, *written.token_ids[:30]])
    both = late.keys() & soon.keys()
    assert len(both) > 10
    for at in both:
        # Near its end a request verifies fewer of them.
        length = min(len(late[at]), len(soon[at]))
        assert late[at][:length] == soon[at][:length]


def _drafts_at(engine: Engine, prompt: list[int]) -> dict[int, list[int]]:
    """All that the drafter proposes, by the position of the anchor."""
    seen: dict[int, list[int]] = {}
    position = len(prompt)

    def watch(proposal: Proposal, _decided: int, kept: int) -> None:
        nonlocal position
        seen[position] = proposal.token_ids
        position += kept + 1

    whole = RequestOptions(speculation="dspark", verify="full", share_prefix=False)
    with engine.watch_rounds(watch):
        engine.generate(prompt, GREEDY, options=whole)
    return seen
