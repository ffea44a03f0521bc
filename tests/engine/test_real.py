"""Exact mode on the real model in bf16: acceleration, caching and company change no token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.kv.products import MOST_FLASH_KEYS
from agentspark.sampling.params import SamplingParams

pytestmark = pytest.mark.real

NEW = SamplingParams(max_tokens=24, ignore_eos=True)
PLAIN = RequestOptions(speculation="off", share_prefix=False)
SYSTEM = (
    "You are a careful assistant that works through files. Notes so far: the cache keeps keys and "
    "values of every prefix; the scheduler verifies what pays; the trace has one line per call. "
)
QUESTIONS = (
    "What is the capital of France, and why is it known?",
    "Write a Python function that adds two numbers, with a docstring.",
    "Repeat these words three times: block, draft, verify.",
    "Tom has 3 boxes of 12 pencils and gives away 7. How many are left?",
    "Summarize the notes in one sentence.",
    "List three fruits as a JSON array.",
    "Translate to French: The cat sleeps.",
    "Name a prime number above 50.",
)


@pytest.fixture(scope="module")
def engine(smollm2_dir: Path) -> Iterator[Engine]:
    """The default target with the drafter that ships for it, on two threads in any case."""
    config = EngineConfig(kv_tokens=16384, threads=2)
    with Engine.load(smollm2_dir, config=config) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def prompts(engine: Engine) -> list[list[int]]:
    return [
        engine.target.tokenizer.encode_chat(
            [{"role": "system", "content": SYSTEM * 3}, {"role": "user", "content": question}]
        )
        for question in QUESTIONS
    ]


@pytest.fixture(scope="module")
def expected(engine: Engine, prompts: list[list[int]]) -> list[list[int]]:
    """What the baseline says: alone, cold, one token at a time."""
    return [engine.generate(ids, NEW, options=PLAIN).token_ids for ids in prompts]


def test_the_shipped_drafter_is_used(engine: Engine) -> None:
    assert engine.drafter_name is not None


def test_accelerated_alone_with_and_without_a_hit(
    engine: Engine, prompts: list[list[int]], expected: list[list[int]]
) -> None:
    options = RequestOptions(cache_salt="alone")
    done = [engine.generate(ids, NEW, options=options) for ids in [*prompts[:3], *prompts[:3]]]
    assert [completion.token_ids for completion in done] == [*expected[:3], *expected[:3]]
    assert done[0].counts.cached_tokens == 0
    assert all(completion.counts.cached_tokens > 0 for completion in done[1:])
    assert sum(completion.counts.accepted_tokens for completion in done) > 0


def test_a_hit_accepts_as_much_as_a_cold_start(engine: Engine, prompts: list[list[int]]) -> None:
    options = RequestOptions(speculation="dspark", verify="full", cache_salt="equal")
    cold = engine.generate(prompts[1], NEW, options=options)
    hit = engine.generate(prompts[1], NEW, options=options)
    assert hit.counts.cached_tokens > cold.counts.cached_tokens
    assert hit.counts.accepted_histogram == cold.counts.accepted_histogram


def test_among_eight_at_once(
    engine: Engine, prompts: list[list[int]], expected: list[list[int]]
) -> None:
    handles = [
        engine.submit(
            Request(
                prompt_token_ids=ids,
                sampling=NEW,
                options=PLAIN if i % 4 == 3 else RequestOptions(cache_salt="eight"),
            )
        )
        for i, ids in enumerate(prompts)
    ]
    assert [handle.result(300).token_ids for handle in handles] == expected


def test_answers_that_grow_past_the_flash_kernel(engine: Engine) -> None:
    # Rows that see more keys are attended otherwise: by the drafts' rows, alone and after a hit.
    tokenizer = engine.target.tokenizer
    notes = [{"role": "user", "content": " ".join((*QUESTIONS, SYSTEM)) * 9}]
    tokens = tokenizer.encode_chat(notes)[: MOST_FLASH_KEYS - 10]
    plain = engine.generate(tokens, NEW, options=PLAIN)
    options = RequestOptions(cache_salt="long")
    fast = engine.generate(tokens, NEW, options=options)
    longer = [*tokens, *fast.token_ids, *tokens[:500]]
    hit = engine.generate(longer, NEW, options=options)
    assert fast.token_ids == plain.token_ids
    assert fast.counts.accepted_tokens > 0
    assert hit.counts.cached_tokens > MOST_FLASH_KEYS
    assert hit.token_ids == engine.generate(longer, NEW, options=PLAIN).token_ids
