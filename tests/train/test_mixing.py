"""New and replayed sequences in one source, in the shares that were asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from agentspark.train.mixing import replay_held_out, split_mixed
from agentspark.train.source import OnlineSource
from agentspark.train.store import Entry


class Listed(OnlineSource):
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def entry(self, index: int) -> Entry:
        return Entry(self.names[index], "chat", 0.0, 2, 0, 9, 0)


def source(new: int, old: int) -> tuple[Listed, frozenset[str]]:
    traced = [f"trace-{n}" for n in range(new)]
    return Listed([*traced, *(f"old-{n}" for n in range(old))]), frozenset(traced)


@pytest.mark.parametrize(
    ("new", "old", "share"), [(40, 400, 0.3), (40, 10, 0.3), (30, 30, 0.5), (200, 20, 0.8)]
)
def test_shares_come_close_and_nothing_is_left_out(new: int, old: int, share: float) -> None:
    both, traced = source(new, old)
    held = frozenset(("trace-1", "trace-2"))
    parts = split_mixed(both, held, traced, share, 48)
    names = [both.names[index] for index in parts.train]
    replayed = sum(name.startswith("old") for name in names) / len(names)
    assert replayed == pytest.approx(share, abs=0.08)
    assert {n for n in names if n.startswith("trace")} == traced - held
    aside = {both.names[index] for index in replay_held_out(both, traced, 1000)}
    assert {n for n in names if n.startswith("old")} == set(both.names) - traced - aside
    assert {both.names[index] for index in parts.held_out} == held
    assert len(set(Counter(names).values())) <= 2


def test_without_replay_only_new_ones_are_trained_on() -> None:
    both, traced = source(10, 50)
    for known, share in ((source(10, 0)[0], 0.3), (both, 0.0)):
        parts = split_mixed(known, frozenset(("trace-0",)), traced, share, 48)
        assert parts.train == list(range(1, 10))


def test_a_bounded_number_is_measured_on_and_never_trained_on() -> None:
    both, traced = source(30, 0)
    held = frozenset(f"trace-{n}" for n in range(10))
    few, all_held = (split_mixed(both, held, traced, 0.3, most) for most in (4, 48))
    assert len(few.held_out) == 4
    assert set(few.held_out) < set(all_held.held_out)
    assert few.train == all_held.train == list(range(10, 30))
