"""Drafters of every family in the engine: they change no token, and prefix hits cost them none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.checkpoint import load_drafter, save_drafter
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import TrainError
from agentspark.sampling.params import SamplingParams
from agentspark.train.calibrate import calibrate
from tests.family_drafters import GREEDY, SHAPES, FamilyDir, prompts

PLAIN = RequestOptions(speculation="off", share_prefix=False)
ALONE = RequestOptions(speculation="dspark", verify="full", share_prefix=False)
# Long enough that all of twelve requests decode together: they are prefilled one after another.
LONG = SamplingParams(max_tokens=64, ignore_eos=True)
SEEDED = SamplingParams(max_tokens=16, temperature=0.4, top_p=0.95, seed=7, ignore_eos=True)


@pytest.fixture(scope="module", params=list(SHAPES))
def engine(
    request: pytest.FixtureRequest, tiny_target_dir: Path, family_dir: FamilyDir, cost_cache: Path
) -> Iterator[Engine]:
    config = EngineConfig(kv_tokens=4096, cache_dir=cost_cache, prefill_chunk=32)
    with Engine.load(tiny_target_dir, drafter=family_dir(request.param), config=config) as loaded:
        yield loaded


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED])
@pytest.mark.parametrize("options", [ALONE, RequestOptions(cache_salt="same")])
def test_speculative_equals_plain(
    engine: Engine, sampling: SamplingParams, options: RequestOptions
) -> None:
    accepted = 0
    for prompt in prompts(2):
        sped = engine.generate(prompt, sampling, options=options)
        assert sped.token_ids == engine.generate(prompt, sampling, options=PLAIN).token_ids
        accepted += sped.counts.accepted_tokens
    # They learned greedy answers; what the scheduler chooses to verify depends on the clock.
    assert accepted > 0 or (sampling, options) != (GREEDY, ALONE)


def test_a_prefix_hit_drafts_exactly_what_a_cold_start_drafts(engine: Engine) -> None:
    options = RequestOptions(speculation="dspark", verify="full", cache_salt="hit")
    prompt = prompts(1)[0]
    cold, hit = (engine.generate(prompt, GREEDY, options=options) for _ in range(2))
    assert hit.counts.cached_tokens > 0
    assert hit.counts.accepted_histogram == cold.counts.accepted_histogram
    # Another prompt with the same beginning: its drafts are its own.
    longer = [*prompt[:24], *prompts(2)[1]]
    alone = engine.generate(longer, GREEDY, options=ALONE)
    shared = engine.generate(longer, GREEDY, options=options)
    assert shared.counts.cached_tokens == 24
    assert shared.counts.accepted_histogram == alone.counts.accepted_histogram


def test_together_equals_alone(engine: Engine) -> None:
    alone = [engine.generate(prompt, GREEDY, options=ALONE) for prompt in prompts(4)]
    handles = [
        engine.submit(Request(prompt_token_ids=prompt, sampling=GREEDY, options=ALONE))
        for prompt in prompts(4)
    ]
    for handle, expected in zip(handles, alone, strict=True):
        done = handle.result(60)
        assert done.token_ids == expected.token_ids
        assert done.counts.accepted_histogram == expected.counts.accepted_histogram


def test_many_requests_get_few_drafts_unless_they_ask_for_more(engine: Engine) -> None:
    assert engine.drafter is not None
    block, few = engine.drafter.block_size, min(2, engine.drafter.block_size)
    drafted: dict[str, set[int]] = {}
    for name, options in (
        ("few", RequestOptions(speculation="dspark", share_prefix=False)),
        ("whole", ALONE),
        ("three", RequestOptions(verify=3, speculation="dspark", share_prefix=False)),
    ):
        lengths = drafted.setdefault(name, set())
        with engine.watch_drafts(lambda draft, _, __, seen=lengths: seen.add(len(draft))):
            handles = [
                engine.submit(Request(prompt_token_ids=prompt, sampling=LONG, options=options))
                for prompt in prompts(4) * 3
            ]
            for handle in handles:
                handle.result(60)
    assert min(drafted["few"]) == few
    assert drafted["whole"] == {block}
    assert min(drafted["three"]) == min(3, block)


def test_without_confidence_survival_is_learned_from_rounds(engine: Engine) -> None:
    seen: list[Proposal] = []
    with engine.watch_drafts(lambda draft, kept, decided: seen.append(draft)):
        engine.generate(prompts(1)[0], GREEDY, options=ALONE)
    assert engine.drafter is not None
    survivals = {tuple(draft.survival) for draft in seen}
    assert all(0.0 < rate <= 1.0 for row in survivals for rate in row)
    assert len(survivals) > 1
    if engine.drafter.confident:
        assert engine.drafter.config.family == "dspark"
    else:
        assert seen[0].survival == pytest.approx([0.6 ** (k + 1) for k in range(len(seen[0]))])
        with pytest.raises(TrainError, match="no confidence head"):
            calibrate(engine, prompts())


def test_rounds_are_watched_as_they_were_verified(engine: Engine) -> None:
    rounds: list[tuple[int, int, int]] = []
    with engine.watch_rounds(lambda draft, *outcome: rounds.append((len(draft), *outcome))):
        done = engine.generate(prompts(1)[0], GREEDY, options=ALONE)
    assert sum(verified for verified, _, _ in rounds) == done.counts.verified_tokens
    assert sum(kept for _, _, kept in rounds) == done.counts.accepted_tokens
    assert all(kept <= decided <= verified for verified, decided, kept in rounds)
    assert not engine._parts.turn.proposing.round_watchers


@pytest.mark.parametrize("name", list(SHAPES))
def test_checkpoints_read_back_equal(name: str, family_dir: FamilyDir, tmp_path: Path) -> None:
    model = load_drafter(family_dir(name))
    save_drafter(model, tmp_path)
    again = load_drafter(tmp_path)
    assert again.config == model.config
    assert type(again) is type(model)
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    assert not [key for key in model.state_dict() if "head" in key] or name == "dspark"
    written = json.loads((tmp_path / "config.json").read_text())
    assert ("sample_from_anchor" in written) == (model.config.family == "dflash")
