"""Random schedules: whoever comes, leaves or breaks beside it, a request says the same as alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.handle import Handle
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import RequestCancelledError, RequestError
from agentspark.sampling.params import SamplingParams

BROKEN = 77
PLAIN = RequestOptions(speculation="off", share_prefix=False)
# Few beginnings, so that requests share, wait for each other and evict each other's prefixes.
_BEGINNINGS = [[1, *range(100 + 40 * n, 100 + 40 * n + length)] for n, length in enumerate((9, 33))]
_said: dict[tuple[Any, ...], list[int]] = {}


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path) -> Iterator[Engine]:
    config = EngineConfig(kv_tokens=360, cache_dir=cost_cache, prefill_chunk=24, max_requests=5)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        table: Any = engine._parts.target.model.get_input_embeddings().weight
        table[BROKEN] = float("nan")
        yield engine


def drawn(draw: random.Random) -> Request:
    """A request whose output is fixed, and which never says the broken token by itself."""
    prompt = [*draw.choice(_BEGINNINGS), *(draw.choices(range(300, 306), k=draw.randint(1, 40)))]
    if draw.random() < 0.15:
        prompt[draw.randrange(1, len(prompt))] = BROKEN
    return Request(
        prompt_token_ids=prompt,
        sampling=SamplingParams(
            max_tokens=draw.choice((1, 2, 9, 30)),
            temperature=draw.choice((0.0, 0.9)),
            seed=draw.choice((1, 2)),
            ignore_eos=True,
            logit_bias=((BROKEN, -100.0),),
        ),
        options=RequestOptions(
            speculation=draw.choice(("auto", "dspark", "suffix", "off")),
            verify=draw.choice(("auto", "full", 0, 3)),
            share_prefix=draw.random() < 0.8,
            cache_salt=draw.choice((None, "a")),
        ),
        prediction=tuple(draw.choices([*range(300, 306), BROKEN], k=draw.choice((0, 12)))),
    )


def alone(engine: Engine, request: Request) -> list[int]:
    """What ``request`` says without anything that makes it faster."""
    key = (tuple(request.prompt_token_ids), request.sampling)
    if key not in _said:
        plain = Request(
            prompt_token_ids=request.prompt_token_ids, sampling=request.sampling, options=PLAIN
        )
        _said[key] = list(engine.submit(plain).result(120).token_ids)
    return _said[key]


def outcome(handle: Handle, read: int | None) -> list[int] | str:
    """All of its tokens, or how it ended; it is cancelled once ``read`` deltas came."""
    tokens: list[int] = []
    try:
        for index, delta in enumerate(handle):
            tokens.extend(delta.token_ids)
            if index == read:
                handle.cancel()
        return tokens
    except RequestCancelledError:
        return "cancelled"
    except RequestError as error:
        return "broken" if "not finite" in str(error) else repr(error)


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_a_request_says_what_it_says_alone(engine: Engine, seed: int) -> None:
    draw = random.Random(seed)
    requests = [drawn(draw) for _ in range(draw.randint(2, 12))]
    reads = [draw.randint(0, 4) if draw.random() < 0.25 else None for _ in requests]
    handles = [engine.submit(request) for request in requests]
    for handle in draw.sample(handles, len(handles) // 6):
        handle.cancel()
    outcomes = [outcome(handle, read) for handle, read in zip(handles, reads, strict=True)]
    for request, said in zip(requests, outcomes, strict=True):
        broken = BROKEN in request.prompt_token_ids
        assert said in ("cancelled", "broken" if broken else alone(engine, request))
    memory = engine._parts.turn.memory
    memory.cache.check_integrity({})
    assert memory.pool.free_blocks + memory.cache.cached_blocks == memory.pool.num_blocks
    assert engine._parts.turn.idle
