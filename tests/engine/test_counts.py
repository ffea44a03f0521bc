"""What a request counts: rounds, drafts and tokens add up, however it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.sampling.params import SamplingParams

from .test_equivalence import GREEDY, prompt


def test_counts_add_up(tiny_engine: Engine) -> None:
    done = tiny_engine.generate(prompt(80, 4), GREEDY, options=RequestOptions(verify="full"))
    counts = done.counts
    assert counts.completion_tokens == len(done.token_ids) == 48
    assert sum(counts.accepted_histogram) == counts.rounds
    assert sum(k * n for k, n in enumerate(counts.accepted_histogram)) == counts.accepted_tokens
    assert counts.accepted_tokens <= counts.verified_tokens <= counts.draft_tokens
    assert counts.rounds + counts.accepted_tokens in (47, 48)
    times = done.timings
    assert times.ttft_s == pytest.approx((times.queue_s or 0) + (times.prefill_s or 0))
    assert (times.total_s or 0) >= (times.ttft_s or 0) + (times.decode_s or 0)


def test_every_round_is_told_where_that_is_asked(
    tiny_target_dir: Path, tiny_drafter_dir: Path, tiny_engine: Engine, cost_cache: Path
) -> None:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache, round_counts=True)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        done = engine.generate(prompt(80, 4), GREEDY, options=RequestOptions(verify="full"))
    counts = done.counts
    assert counts.round_verified is not None
    assert counts.round_accepted is not None
    assert len(counts.round_verified) == len(counts.round_accepted) == counts.rounds > 0
    assert sum(counts.round_verified) == counts.verified_tokens > 0
    assert [counts.round_accepted.count(k) for k in range(len(counts.accepted_histogram))] == (
        counts.accepted_histogram
    )
    rounds = zip(counts.round_accepted, counts.round_verified, strict=True)
    assert all(accepted <= verified for accepted, verified in rounds)
    unasked = tiny_engine.generate(prompt(80, 4), GREEDY).counts
    assert unasked.round_verified is unasked.round_accepted is None


def seeded(seed: int, **more: object) -> SamplingParams:
    """Sampling that says the end token (2) now and then."""
    asked = {"max_tokens": 48, "temperature": 1.0, "seed": seed, "logit_bias": ((2, 3.0),), **more}
    return SamplingParams(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["stop", "eos", "length"])
def test_drafts_behind_the_end_are_not_counted_as_kept(tiny_engine: Engine, end: str) -> None:
    tokens, plain = prompt(80, 4), RequestOptions(speculation="off", share_prefix=False)
    for seed in range(100):
        whole = tiny_engine.generate(tokens, seeded(seed, ignore_eos=True), options=plain)
        if 2 in whole.token_ids[16:40]:
            break
    sampling = {
        "stop": seeded(seed, ignore_eos=True, stop=(whole.text[20:24],)),
        "eos": seeded(seed),
        "length": seeded(seed, ignore_eos=True, max_tokens=21),
    }[end]
    cut = tiny_engine.generate(tokens, sampling, options=plain)
    assert len(cut.token_ids) < 48
    # All drafts are right, also those behind the end.
    request = Request(
        prompt_token_ids=tokens, prediction=whole.token_ids, sampling=sampling,
        options=RequestOptions(speculation="suffix", verify="full"),
    )  # fmt: skip
    done = tiny_engine.submit(request).result(60)
    assert done.token_ids == cut.token_ids
    counts = done.counts
    assert sum(k * n for k, n in enumerate(counts.accepted_histogram)) == counts.accepted_tokens
    # The first token comes from the prompt; an end that was a draft has none of its round's own.
    assert counts.completion_tokens - 1 - counts.rounds - counts.accepted_tokens in (0, -1)
    assert counts.accepted_tokens > counts.rounds
