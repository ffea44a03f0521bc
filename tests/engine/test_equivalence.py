"""The backbone of the engine's tests: however a token is computed, it is the same token."""

from __future__ import annotations

import random
from pathlib import Path
from weakref import WeakKeyDictionary

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions, Speculation
from agentspark.engine.request import Request
from agentspark.engine.result import Completion
from agentspark.sampling.params import SamplingParams

PLAIN = RequestOptions(speculation="off", share_prefix=False)
GREEDY = SamplingParams(max_tokens=48, ignore_eos=True)

_plain: WeakKeyDictionary[Engine, dict[str, Completion]] = WeakKeyDictionary()


def prompt(length: int, seed: int = 0) -> list[int]:
    """Random tokens with a repeated part, so that copies are proposed."""
    rng = random.Random(seed)
    phrase = [rng.randrange(3, 512) for _ in range(12)]
    tokens = [rng.randrange(3, 512) for _ in range(length)]
    tokens[length // 3 : length // 3 + 12] = phrase
    return [*tokens[: length - 6], *phrase[:6]]


def plain(engine: Engine, tokens: list[int], sampling: SamplingParams = GREEDY) -> Completion:
    """The plain answer, which every way to speed it up is held against: it is made once."""
    made = _plain.setdefault(engine, {})
    asked = repr((tokens, sampling))
    if asked not in made:
        made[asked] = engine.generate(tokens, sampling, options=PLAIN)
    return made[asked]


@pytest.mark.parametrize("speculation", ["auto", "dspark", "suffix"])
@pytest.mark.parametrize("share", [True, False])
def test_speculative_equals_plain(
    tiny_engine: Engine, speculation: Speculation, share: bool
) -> None:
    for seed, length in ((1, 20), (2, 75), (3, 300)):
        tokens = prompt(length, seed)
        options = RequestOptions(speculation=speculation, share_prefix=share, verify="full")
        expected = plain(tiny_engine, tokens)
        # What a model without sense says is nowhere to be copied from, unless it is predicted.
        guess = expected.token_ids if speculation == "suffix" else []
        sped = tiny_engine.submit(
            Request(prompt_token_ids=tokens, sampling=GREEDY, options=options, prediction=guess)
        ).result()
        assert sped.token_ids == expected.token_ids
        assert sped.text == expected.text
        assert sped.counts.verified_tokens > 0


@pytest.mark.parametrize("verify", ["auto", "full", 0, 2])
def test_any_verification_length_gives_the_same_tokens(
    tiny_engine: Engine, verify: int | str
) -> None:
    tokens = prompt(90, 4)
    options = RequestOptions(verify=verify)  # type: ignore[arg-type]
    sped = tiny_engine.generate(tokens, GREEDY, options=options)
    assert sped.token_ids == plain(tiny_engine, tokens).token_ids
    if isinstance(verify, int):
        assert sped.counts.verified_tokens <= verify * sped.counts.rounds


def test_cached_equals_cold_and_counts_what_it_reused(tiny_engine: Engine) -> None:
    tokens = prompt(200, 5)
    salted = RequestOptions(cache_salt="cached-equals-cold")
    first = tiny_engine.generate(tokens, GREEDY, options=salted)
    again = tiny_engine.generate(tokens, GREEDY, options=salted)
    longer = [*tokens, *first.token_ids, *prompt(30, 6)]
    extended = tiny_engine.generate(longer, GREEDY, options=salted)
    assert first.counts.cached_tokens == 0
    assert again.counts.cached_tokens == 192
    assert extended.counts.cached_tokens == 240
    assert again.token_ids == first.token_ids
    assert extended.token_ids == plain(tiny_engine, longer).token_ids


def test_a_prefix_hit_drafts_exactly_what_a_cold_start_drafts(tiny_engine: Engine) -> None:
    tokens = prompt(150, 7)
    options = RequestOptions(speculation="dspark", verify="full", cache_salt="hit-drafts")
    cold = tiny_engine.generate(tokens, GREEDY, options=options)
    hit = tiny_engine.generate(tokens, GREEDY, options=options)
    assert hit.counts.cached_tokens > 0
    assert hit.counts.accepted_histogram == cold.counts.accepted_histogram
    assert hit.counts.rounds == cold.counts.rounds


def test_salts_share_nothing(tiny_engine: Engine) -> None:
    tokens = prompt(100, 8)
    tiny_engine.generate(tokens, GREEDY, options=RequestOptions(cache_salt="mine"))
    theirs = tiny_engine.generate(tokens, GREEDY, options=RequestOptions(cache_salt="theirs"))
    assert theirs.counts.cached_tokens == 0


def test_together_equals_alone(tiny_engine: Engine) -> None:
    shared = prompt(120, 9)
    prompts = [[*shared, *prompt(10 + 7 * i, 20 + i)] for i in range(8)]
    alone = [plain(tiny_engine, tokens).token_ids for tokens in prompts]
    handles = [
        tiny_engine.submit(
            Request(
                prompt_token_ids=tokens,
                sampling=GREEDY,
                options=PLAIN if i % 3 == 0 else RequestOptions(cache_salt="together"),
            )
        )
        for i, tokens in enumerate(prompts)
    ]
    done = [handle.result(60) for handle in handles]
    assert [completion.token_ids for completion in done] == alone
    assert sum(completion.counts.cached_tokens for completion in done) > 0


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    length=st.integers(1, 180),
    seed=st.integers(0, 999),
    chunk_salt=st.integers(0, 3),
    new=st.integers(1, 30),
)
def test_any_prompt_and_length(
    tiny_engine: Engine, length: int, seed: int, chunk_salt: int, new: int
) -> None:
    tokens = prompt(max(length, 14), seed)[-length:]
    sampling = SamplingParams(max_tokens=new, ignore_eos=True)
    options = RequestOptions(cache_salt=str(chunk_salt))
    sped = tiny_engine.generate(tokens, sampling, options=options)
    assert sped.token_ids == plain(tiny_engine, tokens, sampling).token_ids
    assert len(sped.token_ids) == new


def test_float32_is_exact_too(tiny_qwen3_dir: Path, cost_cache: Path) -> None:
    config = EngineConfig(dtype="float32", kv_tokens=4096, cache_dir=cost_cache, prefill_chunk=32)
    with Engine.load(tiny_qwen3_dir, drafter=None, config=config) as engine:
        for seed, length in ((1, 30), (2, 130)):
            tokens = prompt(length, seed)
            sped = engine.generate(tokens, GREEDY, options=RequestOptions(verify="full"))
            again = engine.generate(tokens, GREEDY)
            assert sped.token_ids == plain(engine, tokens).token_ids == again.token_ids


@pytest.mark.parametrize("model", ["tiny_target_dir", "tiny_qwen3_dir"])
def test_equals_transformers_generate(
    model: str, request: pytest.FixtureRequest, cost_cache: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = request.getfixturevalue(model)
    reference = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = EngineConfig(dtype="float32", kv_tokens=2048, cache_dir=cost_cache)
    tokens = prompt(60, 11)
    with Engine.load(folder, drafter=None, config=config) as engine:
        ours = engine.generate(tokens, GREEDY)
    theirs = reference.generate(
        torch.tensor([tokens]), max_new_tokens=48, min_new_tokens=48, do_sample=False
    )
    assert ours.token_ids == theirs[0, len(tokens) :].tolist()


async def test_async_equals_sync(tiny_engine: Engine) -> None:
    tokens = prompt(40, 12)
    expected = plain(tiny_engine, tokens)
    assert (await tiny_engine.agenerate(tokens, GREEDY)).token_ids == expected.token_ids
    text, ids = "", []
    async for delta in tiny_engine.astream(tokens, GREEDY):
        text += delta.text
        ids += delta.token_ids
    assert (text, ids) == (expected.text, expected.token_ids)


def test_streamed_pieces_add_up_and_chat_forms_agree(tiny_engine: Engine) -> None:
    messages = [{"role": "user", "content": "Read the file, then add the numbers."}]
    whole = tiny_engine.chat(messages, GREEDY)
    deltas = list(tiny_engine.chat_stream(messages, GREEDY))
    assert "".join(delta.text for delta in deltas) == whole.text
    assert [token for delta in deltas for token in delta.token_ids] == whole.token_ids
    assert [delta.completion is not None for delta in deltas] == [False] * (len(deltas) - 1) + [
        True
    ]


@pytest.mark.parametrize("verify", ["auto", "full", 1])
@pytest.mark.parametrize("speculation", ["auto", "dspark", "suffix"])
def test_a_seed_gives_the_same_tokens_with_any_options(
    tiny_engine: Engine, speculation: Speculation, verify: int | str
) -> None:
    tokens = prompt(50, 13)
    sampling = SamplingParams(max_tokens=30, temperature=0.3, top_p=0.95, seed=7, ignore_eos=True)
    options = RequestOptions(speculation=speculation, verify=verify)  # type: ignore[arg-type]
    sped = [tiny_engine.generate(tokens, sampling, options=options) for _ in range(2)]
    expected = plain(tiny_engine, tokens, sampling).token_ids
    assert [completion.token_ids for completion in sped] == [expected, expected]
    other = SamplingParams(max_tokens=30, temperature=0.3, top_p=0.95, seed=8, ignore_eos=True)
    assert plain(tiny_engine, tokens, other).token_ids != expected


def test_sampling_without_a_seed_goes_through_lossless_verification(tiny_engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=30, temperature=0.9, ignore_eos=True)
    options = RequestOptions(speculation="dspark", verify="full")
    done = [tiny_engine.generate(prompt(50, 13), sampling, options=options) for _ in range(2)]
    assert done[0].counts.verified_tokens > 0
    assert done[0].token_ids != done[1].token_ids
