"""Which data a step sees is a function of seed and cursor."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentspark.train.anchors import Cursor, next_batch, step_anchors


@given(
    start=st.integers(1, 20), extra=st.integers(0, 40), count=st.integers(1, 50),
    step=st.integers(0, 5),
)  # fmt: skip
def test_anchors_lie_in_the_response_and_have_a_successor(start, extra, count, step):
    size = start + extra
    anchors = step_anchors((1, step, 3), 1, start, size, count, 0).tolist()
    assert anchors == sorted(set(anchors))
    assert len(anchors) == min(count, max(0, size - 1 - start))
    assert all(start <= a < size - 1 for a in anchors)


@given(
    first=st.integers(1, 20), extra=st.integers(0, 30), count=st.integers(1, 9),
    prompts=st.integers(0, 50),
)  # fmt: skip
def test_prompt_anchors_are_added_before_those_of_the_response(first, extra, count, prompts):
    start, size = first + extra, first + extra + 12
    without = step_anchors((1, 0, 3), first, start, size, count, 0).tolist()
    anchors = step_anchors((1, 0, 3), first, start, size, count, prompts).tolist()
    asked = anchors[: len(anchors) - len(without)]
    assert anchors[len(asked) :] == without
    assert len(asked) == min(prompts, extra)
    assert asked == sorted(set(asked))
    assert all(first <= a < start for a in asked)


def test_anchors_change_from_step_to_step_and_repeat_for_one():
    def at(step):
        return step_anchors((1, step, 3), 1, 10, 200, 8, 4).tolist()

    assert at(1) == at(1)
    assert at(1) != at(2)


@given(known=st.integers(1, 30), take=st.integers(1, 7), cut=st.integers(0, 20))
def test_an_epoch_visits_sequences_at_most_once_and_resumes_anywhere(known, take, cut):
    take = min(take, known)

    def run(cursor, steps):
        out = []
        for _ in range(steps):
            chosen, cursor = next_batch(cursor, 5, take, known)
            out.append((cursor.epoch, tuple(chosen)))
        return out, cursor

    whole, _ = run(Cursor(), 25)
    before, cursor = run(Cursor(), cut)
    after, _ = run(cursor, 25 - cut)
    assert before + after == whole
    for epoch in {e for e, _ in whole}:
        seen = [i for e, chosen in whole if e == epoch for i in chosen]
        assert len(seen) == len(set(seen))
        assert all(0 <= i < known for i in seen)


def test_sequences_that_appear_later_join_at_the_next_epoch():
    cursor = Cursor()
    _, cursor = next_batch(cursor, 0, 2, 4)
    chosen, cursor = next_batch(cursor, 0, 2, 100)
    assert cursor.epoch == 0
    assert max(chosen) < 4
    _, cursor = next_batch(cursor, 0, 2, 100)
    assert (cursor.epoch, cursor.size) == (1, 100)
