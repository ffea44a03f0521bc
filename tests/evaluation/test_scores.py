"""Scores of rollouts whose counts and times are known."""

from __future__ import annotations

import pytest

from agentspark.drafting.proposal import one_hot
from agentspark.engine.result import Completion, Counts, FinishReason, Timings
from agentspark.evaluation.contestants import Contestant
from agentspark.evaluation.rollouts import Acceptance, EncodedPrompt, Rollout, Turn
from agentspark.evaluation.scores import find_differences, score_turns

DRAFTER = Contestant("one", None, "dspark")


def rollout(
    name: str,
    prompt: EncodedPrompt,
    seconds: float,
    rounds: int,
    tokens: list[int],
    kept: int,
    finish: FinishReason = "length",
) -> Rollout:
    counts = Counts(
        3, completion_tokens=len(tokens), rounds=rounds, draft_tokens=20, verified_tokens=16,
        accepted_tokens=kept,
    )  # fmt: skip
    done = Completion(
        "id", "tiny", None, [1, 2, 3], tokens, "", finish, counts,
        Timings(started_at=0.0, decode_s=seconds),
    )  # fmt: skip
    acceptance = Acceptance()
    acceptance.note(one_hot([4, 5, 6], [0.5] * 3, "x"), 2, 1)
    acceptance.note(one_hot([4, 5], [0.5] * 2, "x"), 2, 2)
    return Rollout(name, prompt, 0.0, done, acceptance)


def turn(name: str, kind: str, seconds: float, *, other: int = 0, temperature: float = 0.0) -> Turn:
    prompt = EncodedPrompt(name, kind, [1, 2, 3])
    tokens = list(range(11))
    changed = [*tokens[:7], 99, *tokens[8:]] if other else tokens
    return Turn(prompt, temperature, {
        "baseline": rollout("baseline", prompt, 2.0, 10, tokens, 0),
        "one": rollout("one", prompt, seconds, 5, changed, 5),
    })  # fmt: skip


def test_scores_over_all_and_by_kind() -> None:
    turns = [turn("a", "chat", 1.0), turn("b", "code", 0.5), turn("c", "code", 4.0, other=1)]
    whole, chat, code = score_turns([DRAFTER], turns, seeded=False)
    assert [s.kind for s in (whole, chat, code)] == ["all", "chat", "code"]
    assert whole.accepted_length == 2.0
    assert whole.wasted_tokens == 3 * 16 - 3 * 5
    assert whole.conditional == [1.0, 0.5, None]
    assert whole.speedup == pytest.approx(2.0)
    assert whole.tokens_s == pytest.approx(30 / 5.5)
    assert whole.total_speedup == pytest.approx(6.0 / 5.5)
    assert (whole.identical, whole.comparable) == (2, 3)
    assert (chat.prompts, code.prompts) == (1, 2)
    (where,) = find_differences(turns, seeded=False)
    assert (where.contestant, where.prompt, where.position) == ("one", "c", 7)


def test_answers_that_ended_have_a_length_of_their_own() -> None:
    cut, prompt = turn("a", "chat", 1.0), EncodedPrompt("b", "chat", [1, 2, 3])
    whole = {
        "baseline": rollout("baseline", prompt, 2.0, 10, list(range(7)), 0, "stop"),
        "one": rollout("one", prompt, 1.0, 2, list(range(7)), 4, "stop"),
    }
    score = score_turns([DRAFTER], [cut, Turn(prompt, 0.0, whole)], seeded=False)[0]
    assert score.accepted_length == pytest.approx(16 / 7)
    assert (score.ended, score.ended_accepted_length) == (1, 3.0)
    assert score_turns([DRAFTER], [cut], seeded=False)[0].ended_accepted_length is None


def test_sampled_outputs_are_compared_where_a_seed_fixes_them() -> None:
    turns = [turn("a", "chat", 1.0, other=1, temperature=1.0)]
    free = score_turns([DRAFTER], turns, seeded=False)[0]
    assert (free.identical, free.comparable) == (0, 0)
    assert not find_differences(turns, seeded=False)
    assert score_turns([DRAFTER], turns, seeded=True)[0].comparable == 1
    assert len(find_differences(turns, seeded=True)) == 1


def test_failed_prompts_count_for_nobody() -> None:
    failed = Turn(EncodedPrompt("x", "chat", [1]), 0.0, {}, "one: too long")
    whole = score_turns([DRAFTER], [turn("a", "chat", 1.0), failed], seeded=False)[0]
    assert whole.prompts == 1


def test_the_error_of_a_length_is_by_how_prompts_differ() -> None:
    alike = [turn(name, "chat", 1.0) for name in "abcd"]
    score = score_turns([DRAFTER], alike, seeded=False)[0]
    assert (score.accepted_length, score.accepted_length_error) == (2.0, 0.0)
    assert score_turns([DRAFTER], alike[:1], seeded=False)[0].accepted_length_error is None
    # Ten tokens behind the first each, in 5 and in 10 rounds: 10 / 7.5 in all, off by 10 / 3 each.
    prompt = EncodedPrompt("e", "chat", [1, 2, 3])
    slow = rollout("one", prompt, 1.0, 10, list(range(11)), 0)
    other = Turn(prompt, 0.0, {"baseline": slow, "one": slow})
    score = score_turns([DRAFTER], [alike[0], other], seeded=False)[0]
    assert score.accepted_length == pytest.approx(4 / 3)
    assert score.accepted_length_error == pytest.approx((2 * 2 * (10 / 3) ** 2) ** 0.5 / 15)
