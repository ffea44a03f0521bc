"""Numbers that are not finite, and a text that cannot be read, end their own request alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.output import OutputText
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.engine.result import Completion
from agentspark.errors import RequestError
from agentspark.sampling.params import SamplingParams

BROKEN = 77  # no token of what the engine says here by itself
LONG = SamplingParams(max_tokens=40, ignore_eos=True)
PLAIN = RequestOptions(speculation="off", share_prefix=False)
SHARED = [1, *range(100, 131)]


@pytest.fixture(scope="module")
def loaded(tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path) -> Iterator[Engine]:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache, prefill_chunk=32)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        yield engine


@pytest.fixture
def engine(loaded: Engine) -> Iterator[Engine]:
    """An engine whose weights may be broken: they are whole again for the next test."""
    weights = (embedding(loaded), loaded._parts.target.model.model.norm.weight)
    whole = [weight.clone() for weight in weights]
    yield loaded
    for weight, good in zip(weights, whole, strict=True):
        weight.copy_(good)
    loaded._parts.turn.memory.cache.clear()


def embedding(engine: Engine) -> torch.Tensor:
    table: torch.Tensor = engine._parts.target.model.get_input_embeddings().weight
    return table


def request(
    prompt: list[int], sampling: SamplingParams = LONG, options: RequestOptions | None = None
) -> Request:
    return Request(prompt_token_ids=prompt, sampling=sampling, options=options or RequestOptions())


def say(engine: Engine, request: Request) -> Completion:
    return engine.submit(request).result()


def ids(completion: Completion) -> list[int]:
    return list(completion.token_ids)


def pool_is_finite(engine: Engine) -> bool:
    store = engine._parts.store
    return all(
        bool(part.isfinite().all())
        for layer in (*store.target, *store.drafter)
        for part in (layer.k, layer.v)
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [None, PLAIN])
def test_a_prompt_that_gives_nan_ends_alone(
    engine: Engine, value: float, options: RequestOptions | None
) -> None:
    prompts = [[1, 5 + first, *range(140, 150)] for first in range(4)]
    before = [ids(say(engine, request(prompt, options=PLAIN))) for prompt in prompts]
    embedding(engine)[BROKEN] = value
    broken = [[*SHARED, BROKEN, *range(200, 290)], [1, BROKEN], [*SHARED, *SHARED, BROKEN]]
    handles = []
    for index, prompt in enumerate(prompts):
        handles.append(engine.submit(request(prompt, options=options)))
        handles += [engine.submit(request(broken[index], options=options))] if index < 3 else []
    good = [handle for index, handle in enumerate(handles) if index in (0, 2, 4, 6)]
    for handle in (handles[1], handles[3], handles[5]):
        with pytest.raises(RequestError, match="not finite"):
            handle.result()
    assert [ids(handle.result()) for handle in good] == before
    assert pool_is_finite(engine)


def test_nothing_that_is_not_finite_stays_in_the_prefix_cache(engine: Engine) -> None:
    prompt = [*SHARED, 9, *range(200, 290)]
    before = ids(say(engine, request(prompt, options=PLAIN)))
    good = embedding(engine)[9].clone()
    embedding(engine)[9] = float("nan")
    with pytest.raises(RequestError, match="not finite"):
        say(engine, request(prompt))
    embedding(engine)[9] = good
    done = say(engine, request(prompt))
    assert ids(done) == before
    assert done.counts.cached_tokens == len(SHARED)
    engine._parts.turn.memory.cache.check_integrity()
    memory = engine._parts.turn.memory
    assert memory.pool.free_blocks + memory.cache.cached_blocks == memory.pool.num_blocks


def test_a_draft_that_gives_nan_is_nobodys_fault(engine: Engine) -> None:
    prompt = [1, *range(150, 170)]
    before = ids(say(engine, request(prompt, options=PLAIN)))
    wrong = next(token for token in range(100, 500) if token not in before + prompt)
    embedding(engine)[wrong] = float("nan")
    guess = [*before[:25], wrong, *before[25:], wrong]
    options = RequestOptions(speculation="suffix", verify="full")
    predicted = Request(
        prompt_token_ids=prompt, sampling=LONG, options=options, prediction=tuple(guess)
    )
    done = say(engine, predicted)
    assert ids(done) == before
    assert done.counts.accepted_tokens > 0
    assert pool_is_finite(engine)


@pytest.mark.parametrize(
    "sampling",
    [
        LONG,
        SamplingParams(max_tokens=40, temperature=1.0, seed=3),
        SamplingParams(max_tokens=40, temperature=1.0, top_p=0.9),
        SamplingParams(max_tokens=40, temperature=0.0, frequency_penalty=0.5),
    ],
)
def test_logits_of_no_number_end_every_kind_of_request(
    engine: Engine, sampling: SamplingParams
) -> None:
    say(engine, request([1, 5, 6]))
    norm = engine._parts.target.model.model.norm.weight
    norm[3] = float("nan")
    handles = [engine.submit(request([1, 5, 6 + last], sampling)) for last in range(3)]
    for handle in handles:
        with pytest.raises(RequestError, match="not finite"):
            handle.result()
    norm[3] = 1.0
    assert say(engine, request([1, 5, 6])).finish_reason == "length"


def test_what_lies_in_the_pool_is_cleared_once_it_shows(engine: Engine) -> None:
    prompt = [1, *range(150, 170)]
    before = ids(say(engine, request(prompt, options=PLAIN)))
    for layer in engine._parts.store.target:
        layer.k.fill_(float("inf"))
        layer.v.fill_(float("nan"))
    engine._parts.turn.memory.cache.clear()
    assert ids(say(engine, request(prompt))) == before
    assert pool_is_finite(engine)


def test_a_cached_prefix_that_had_to_be_cleared_is_forgotten(engine: Engine) -> None:
    prompt = [*SHARED, 7, 8]
    before = ids(say(engine, request(prompt)))
    assert say(engine, request(prompt)).counts.cached_tokens == len(SHARED)
    for layer in engine._parts.store.target:
        layer.k.fill_(float("nan"))
    with pytest.raises(RequestError, match="not finite"):
        say(engine, request(prompt))
    done = say(engine, request(prompt))
    assert ids(done) == before
    assert done.counts.cached_tokens == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_token_that_gives_nan_costs_others_no_drafts(engine: Engine, temperature: float) -> None:
    embedding(engine)[BROKEN] = float("nan")
    drafted = RequestOptions(speculation="dspark", verify="full")
    says = SamplingParams(max_tokens=40, temperature=temperature, logit_bias=((BROKEN, 100.0),))
    plain = SamplingParams(
        max_tokens=80, temperature=temperature, ignore_eos=True, logit_bias=((BROKEN, -100.0),)
    )
    good = engine.submit(request([1, 5, 6], plain, drafted))
    stream = iter(good)
    next(stream)
    for last in range(4):
        bad = engine.submit(request([1, 9, 10 + last], says, drafted))
        with pytest.raises(RequestError, match="not finite"):
            bad.result()
        next(stream)
    assert good.result().finish_reason == "length"
    after = say(engine, request([1, 5, 6], plain, drafted))
    assert after.counts.draft_tokens > 0
    assert pool_is_finite(engine)


def test_a_text_that_cannot_be_read_ends_its_request_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = ids(say(engine, request([1, 5, 6])))
    push = OutputText.push

    def fails(output: OutputText, *given: object) -> object:
        if output.remaining + output.generated == 33 and output.generated == 3:
            raise ValueError("no such text")
        return push(output, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(OutputText, "push", fails)
    broken = SamplingParams(max_tokens=33, ignore_eos=True)
    plain = RequestOptions(speculation="off")
    handles = [
        engine.submit(request([1, 5, 6], sampling, plain)) for sampling in (LONG, broken, LONG)
    ]
    with pytest.raises(RequestError, match=r"could not be read \(ValueError: no such text"):
        handles[1].result()
    monkeypatch.undo()
    assert ids(say(engine, request([1, 5, 6]))) == alone
    assert [ids(handles[at].result()) for at in (0, 2)] == [alone, alone]
    memory = engine._parts.turn.memory
    assert memory.pool.free_blocks + memory.cache.cached_blocks == memory.pool.num_blocks
