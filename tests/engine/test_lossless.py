"""Sampled output is the target's: many draws through real drafters and the real accept phase.

A tiny target's own rows stand behind a prompt of 17 tokens, after every possible first token; each
round drafts, verifies two drafts and commits. The first committed tokens must follow the target's
distribution, and so must the second ones (drawn plainly where a round committed one token only).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from agentspark.config import EngineConfig
from agentspark.drafting.drafter import ContextRows, Drafter, DraftRequest, context_slots
from agentspark.drafting.loading import fingerprint_of, load_for_target
from agentspark.engine.choosing import Choice, choose_tokens
from agentspark.engine.engine import Engine
from agentspark.engine.request import Request
from agentspark.engine.sequence import Sequence
from agentspark.kv.store import KVStore
from agentspark.models import load_target
from agentspark.sampling.draw import draw_rows, make_generator, uniforms
from agentspark.sampling.params import SamplingParams
from agentspark.sampling.sampler import probabilities
from agentspark.train.features import TargetReader
from tests.chance import worst_of_two
from tests.engine.test_verify import p_value
from tests.family_drafters import VOCAB, FamilyDir, prompts

CONTEXT, BLOCK_TOKENS, BATCH = 16, 8, 1000
CPU = torch.device("cpu")


@dataclass
class World:
    """The target's rows after the prompt ``[V]`` and after each token behind it ``[V, V]``."""

    tokens: list[int]
    features: Tensor
    first: Tensor
    second: Tensor


@pytest.fixture(scope="module")
def world(tiny_target_dir: Path) -> World:
    target = load_target(tiny_target_dir, dtype=torch.float32)
    tokens = prompts(1)[0][: CONTEXT + 1]
    features = TargetReader(target.model, (0, 1)).read(tokens, 1).hidden[:CONTEXT].float()
    behind = torch.tensor([[*tokens, x] for x in range(VOCAB)])
    with torch.inference_mode():
        logits = target.model(behind).logits[:, CONTEXT:].float()
    return World(tokens, features, logits[0, 0] / 6, logits[:, 1] / 6)


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path, cost_cache: Path) -> Iterator[Engine]:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as loaded:
        yield loaded


def bound_drafter(folder: Path, target_dir: Path, world: World) -> tuple[Drafter, list[list[int]]]:
    """The drafter with the prompt in its context, and a block table for each of a batch."""
    target = load_target(target_dir, dtype=torch.float32)
    drafter = load_for_target(folder, target, fingerprint_of(target))
    assert drafter is not None
    shared = CONTEXT // BLOCK_TOKENS
    store = KVStore(
        shared + BATCH, BLOCK_TOKENS, [], drafter.kv_shapes, dtype=torch.float32, device=CPU
    )
    drafter.bind(store)
    slots, before = context_slots(range(shared), 0, CONTEXT, BLOCK_TOKENS)
    rows = ContextRows.of(world.tokens[:CONTEXT], range(CONTEXT), slots, before, CPU)
    drafter.append(world.features, rows)
    return drafter, [[*range(shared), shared + i] for i in range(BATCH)]


def commit(
    sequence: Sequence, drafter: Drafter, requests: list[DraftRequest], world: World
) -> list[list[int]]:
    """One round of each request: what it commits."""
    sequences, rows = [], []
    for proposal in drafter.propose(requests):
        sequences.append(copy.copy(sequence))
        sequences[-1].proposal = kept = proposal.truncate(2)
        after = world.second[kept.token_ids[0]]
        # What follows a second draft is not looked at; any row will do.
        rows += [world.first, after, after][: 1 + len(kept)]
    chosen = choose_tokens(sequences, torch.stack(rows), frozenset())
    return [choice.tokens for choice in chosen if isinstance(choice, Choice)]


@pytest.mark.parametrize(
    ("name", "temperature", "top_p", "draws"),
    [
        ("dspark", 0.7, 1.0, 20_000),
        ("dspark", 1.0, 1.0, 5_000),
        ("dspark", 1.0, 0.9, 20_000),
        ("dflash", 1.0, 1.0, 5_000),
        ("eagle3", 1.0, 1.0, 5_000),
        ("mtp", 0.7, 1.0, 5_000),
    ],
)
def test_committed_tokens_follow_the_target(
    name: str, temperature: float, top_p: float, draws: int,
    world: World, engine: Engine, family_dir: FamilyDir, tiny_target_dir: Path,
) -> None:  # fmt: skip
    torch.set_num_threads(1)
    drafter, tables = bound_drafter(family_dir(name), tiny_target_dir, world)
    sampling = SamplingParams(temperature=temperature, top_p=top_p, max_tokens=8)
    request = Request(prompt_token_ids=world.tokens, sampling=sampling)
    sequence = engine._intake.sequence(request, lambda handle: None)
    sequence.generator = generator = make_generator(13)
    anchor = world.tokens[-1]
    requests = [DraftRequest(anchor, CONTEXT, t, sampling, generator) for t in tables]
    p_first = probabilities(world.first[None], [sampling])[0].double()
    p_second = probabilities(world.second, [sampling] * VOCAB).double()

    def p_values() -> tuple[float, ...]:
        committed = [
            tokens
            for _ in range(draws // BATCH)
            for tokens in commit(sequence, drafter, requests, world)
        ]
        assert {1, 2} <= {len(tokens) for tokens in committed}
        firsts = torch.tensor([tokens[0] for tokens in committed])
        plain = draw_rows(p_second[firsts], uniforms(draws, generator))
        chosen = zip(committed, plain, strict=True)
        seconds = torch.tensor([tokens[1] if len(tokens) > 1 else x for tokens, x in chosen])
        return tuple(
            p_value(torch.bincount(tokens, minlength=VOCAB).double(), expected * draws)
            for tokens, expected in ((firsts, p_first), (seconds, p_first @ p_second))
        )

    assert sequence.noise is None
    assert worst_of_two(p_values) > 0.01
