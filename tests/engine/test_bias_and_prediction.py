"""Biased logits, and the request's own idea of its output: neither depends on the arm."""

from __future__ import annotations

import pytest

from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import InvalidRequestError
from agentspark.sampling.params import SamplingParams

PLAIN = RequestOptions(speculation="off", share_prefix=False)
FULL = RequestOptions(verify="full")
PROMPT = [5, 9, 31, 7, 200, 31, 44, 5, 9, 31]


def tokens_of(
    engine: Engine, sampling: SamplingParams, options: RequestOptions = FULL
) -> list[int]:
    return engine.generate(PROMPT, sampling, options=options).token_ids


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_banned_token_never_comes_and_a_forced_one_always(
    tiny_engine: Engine, temperature: float
) -> None:
    free = SamplingParams(max_tokens=24, temperature=temperature, seed=3, ignore_eos=True)
    said = tokens_of(tiny_engine, free)
    banned = SamplingParams(
        max_tokens=24,
        temperature=temperature,
        seed=3,
        ignore_eos=True,
        logit_bias=tuple((token, -100.0) for token in set(said)),
    )
    assert not set(tokens_of(tiny_engine, banned)) & set(said)
    forced = SamplingParams(
        max_tokens=8, temperature=temperature, seed=3, logit_bias=((300, 100.0),)
    )
    assert tokens_of(tiny_engine, forced) == [300] * 8


def test_a_bias_gives_the_same_tokens_in_both_arms(tiny_engine: Engine) -> None:
    bias = ((40, 3.5), (41, -2.0), (42, 1.5))
    for temperature in (0.0, 0.8):
        sampling = SamplingParams(
            max_tokens=40, temperature=temperature, seed=1, logit_bias=bias, ignore_eos=True
        )
        assert tokens_of(tiny_engine, sampling) == tokens_of(tiny_engine, sampling, PLAIN)


@pytest.mark.parametrize("bias", [(-1, 0.0), (3, 101.0), (3, float("nan")), (512, 1.0)])
def test_a_bias_that_cannot_be_is_named(tiny_engine: Engine, bias: tuple[int, float]) -> None:
    with pytest.raises(InvalidRequestError, match="logit_bias") as caught:
        tokens_of(tiny_engine, SamplingParams(logit_bias=(bias,)))
    assert caught.value.param == "logit_bias"


def run(engine: Engine, prediction: list[int], options: RequestOptions, seed: int | None = None):
    sampling = SamplingParams(
        max_tokens=64, temperature=0.0 if seed is None else 1.0, seed=seed, ignore_eos=True
    )
    request = Request(
        prompt_token_ids=PROMPT, prediction=prediction, sampling=sampling, options=options
    )
    return engine.submit(request).result(60)


@pytest.mark.parametrize("seed", [None, 11])
def test_a_right_prediction_is_accepted_and_changes_nothing(
    tiny_engine: Engine, seed: int | None
) -> None:
    copying = RequestOptions(speculation="suffix", verify="full", share_prefix=False)
    plain = run(tiny_engine, [], PLAIN, seed)
    right = run(tiny_engine, plain.token_ids, copying, seed)
    assert right.token_ids == plain.token_ids
    assert right.counts.prediction_accepted >= 50
    assert right.counts.rounds <= 8
    assert plain.counts.prediction_accepted == plain.counts.prediction_rejected == 0


def test_a_wrong_prediction_is_rejected_and_changes_nothing(tiny_engine: Engine) -> None:
    plain = run(tiny_engine, [], PLAIN)
    half = [*plain.token_ids[:20], *reversed(plain.token_ids[20:])]
    for options in (FULL, RequestOptions(speculation="suffix", verify="full")):
        wrong = run(tiny_engine, half, options)
        assert wrong.token_ids == plain.token_ids
        assert wrong.counts.prediction_accepted > 0
        assert wrong.counts.prediction_rejected > 0


def test_copies_of_the_prompt_are_not_counted_as_predicted(tiny_engine: Engine) -> None:
    # The answer repeats what the prompt ends with; what was predicted never comes.
    request = Request(
        prompt_token_ids=[*PROMPT, *[7] * 8, 5],
        prediction=[9, 9],
        sampling=SamplingParams(max_tokens=12, ignore_eos=True, logit_bias=((7, 100.0),)),
        options=RequestOptions(speculation="suffix", verify="full", share_prefix=False),
    )
    counts = tiny_engine.submit(request).result(60).counts
    assert counts.accepted_tokens > 0
    assert counts.prediction_accepted == 0
    assert counts.prediction_rejected > 0


def test_what_was_said_is_read_once(tiny_engine: Engine) -> None:
    # The first proposal follows the first token, which the prompt does not hold: there is none.
    sampling = SamplingParams(max_tokens=3, ignore_eos=True, logit_bias=((8, 100.0),))
    copying = RequestOptions(speculation="suffix", verify="full", share_prefix=False)
    request = Request(prompt_token_ids=PROMPT, sampling=sampling, options=copying)
    assert tiny_engine.submit(request).result(60).counts.draft_tokens == 0


def test_without_speculation_a_prediction_is_not_drafted(tiny_engine: Engine) -> None:
    plain = run(tiny_engine, [], PLAIN)
    counts = run(tiny_engine, plain.token_ids, PLAIN).counts
    assert (counts.draft_tokens, counts.prediction_accepted) == (0, 0)
