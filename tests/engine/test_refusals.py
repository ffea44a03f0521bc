"""Requests that cannot be served: refused by the name of the field, whatever its type."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agentspark.engine.engine import Engine
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import ContextLengthError, InvalidRequestError
from agentspark.sampling.params import SamplingParams

from .test_equivalence import GREEDY


@pytest.mark.parametrize(
    ("tokens", "sampling", "error", "names"),
    [
        ([], GREEDY, InvalidRequestError, "prompt_token_ids"),
        ([5, 512], GREEDY, InvalidRequestError, "prompt_token_ids"),
        ([5] * 2048, GREEDY, ContextLengthError, "prompt_token_ids"),
        ([5], SamplingParams(max_tokens=0), InvalidRequestError, "max_tokens"),
        ([5], SamplingParams(temperature=math.nan), InvalidRequestError, "temperature"),
        ([5], SamplingParams(temperature=math.inf), InvalidRequestError, "temperature"),
        ([5], SamplingParams(temperature=10**400), InvalidRequestError, "temperature"),
        ([5], SamplingParams(top_p=0.0), InvalidRequestError, "top_p"),
        ([5], SamplingParams(stop=("",)), InvalidRequestError, "stop"),
        ([5], SamplingParams(min_tokens=9, max_tokens=8), InvalidRequestError, "min_tokens"),
        ([5.0], GREEDY, InvalidRequestError, "prompt_token_ids"),
        ([True], GREEDY, InvalidRequestError, "prompt_token_ids"),
    ],
)
def test_bad_requests_are_refused_by_name(
    tiny_engine: Engine,
    tokens: list[int],
    sampling: SamplingParams,
    error: type[InvalidRequestError],
    names: str,
) -> None:
    with pytest.raises(error) as caught:
        tiny_engine.generate(tokens, sampling)
    assert caught.value.param == names


def test_a_prompt_too_long_is_refused_in_words_that_agents_know(tiny_engine: Engine) -> None:
    """By these words, agents and gateways tell the prompts that they must shorten."""
    with pytest.raises(ContextLengthError) as caught:
        tiny_engine.generate([5] * 3000, GREEDY)
    for words in ("prompt is too long", "this model's maximum context length is 2048", "3000"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 5.5), ("max_tokens", True), ("max_tokens", "5"), ("min_tokens", 0.5),
        ("temperature", "hot"), ("top_p", "1"), ("top_k", 1.5), ("repetition_penalty", None),
        ("seed", "abc"), ("seed", math.inf), ("stop", 5), ("stop", "text"), ("stop", (1,)),
        ("logprobs", 1.5), ("logit_bias", ((1.7, 2.0),)),
        ("logit_bias", {5: 2.0}), ("logit_bias", None), ("logit_bias", ((1, 2, 3),)),
    ],
)  # fmt: skip
def test_sampling_of_wrong_types_is_refused_by_name(
    tiny_engine: Engine, name: str, value: object
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        tiny_engine.generate([5], SamplingParams(**{name: value}))  # type: ignore[arg-type]
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (RequestOptions, "speculation", ["auto"]), (RequestOptions, "verify", 1.5),
        (RequestOptions, "share_prefix", "off"), (RequestOptions, "cache_salt", 5),
        (Labels, "run", 5), (Labels, "step", "1"),
    ],
)  # fmt: skip
def test_options_of_wrong_types_are_refused_by_name(
    tiny_engine: Engine, kind: type, name: str, value: object
) -> None:
    asked = {"options" if kind is RequestOptions else "labels": kind(**{name: value})}
    with pytest.raises(InvalidRequestError) as caught:
        tiny_engine.generate([5], GREEDY, **asked)
    assert caught.value.param == name


@pytest.mark.parametrize("name", ["prompt_token_ids", "prediction"])
@pytest.mark.parametrize("value", [np.array([5, 6]), 5, None, "text"])
def test_what_is_no_list_of_tokens_is_refused_by_name(
    tiny_engine: Engine, name: str, value: object
) -> None:
    asked = {"prompt_token_ids": [5], name: value}
    with pytest.raises(InvalidRequestError, match="list of token ids") as caught:
        tiny_engine.submit(Request(**asked))  # type: ignore[arg-type]
    assert caught.value.param == name


@pytest.mark.parametrize(("value", "told"), [("\ud800", "surrogate"), (5, "int"), (None, "None")])
def test_what_is_no_prompt_is_refused(tiny_engine: Engine, value: object, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told) as caught:
        tiny_engine.generate(value)  # type: ignore[arg-type]
    assert caught.value.param == "prompt"


def test_numbers_of_numpy_are_numbers(tiny_engine: Engine) -> None:
    options = RequestOptions(verify=np.int64(1))  # type: ignore[arg-type]
    request = Request(prompt_token_ids=np.array([5, 6]).tolist(), sampling=GREEDY, options=options)
    done = tiny_engine.submit(request).result(60)
    assert done.options.verify == 1 and type(done.options.verify) is int
    assert done.counts.rounds and done.counts.verified_tokens <= done.counts.rounds


def test_what_is_said_is_of_plain_numbers_whatever_it_was_copied_from(tiny_engine: Engine) -> None:
    tokens = list(np.array([5, 9, 31, 7, 5, 9]))
    said = tiny_engine.generate([5, 9, 31, 7, 5, 9], GREEDY).token_ids
    request = Request(
        prompt_token_ids=tokens, prediction=list(np.array(said)), sampling=GREEDY,
        options=RequestOptions(speculation="suffix", verify="full"),
    )  # fmt: skip
    done = tiny_engine.submit(request).result(30)
    assert done.counts.accepted_tokens
    assert done.token_ids == said
    assert {type(token) for token in done.token_ids} == {int}


def test_a_prediction_from_another_vocabulary_is_refused(tiny_engine: Engine) -> None:
    request = Request(prompt_token_ids=[5], prediction=[7, 99_999], sampling=GREEDY)
    with pytest.raises(InvalidRequestError) as caught:
        tiny_engine.submit(request)
    assert caught.value.param == "prediction"
