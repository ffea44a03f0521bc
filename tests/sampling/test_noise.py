"""Seeded sampling draws from the right distribution, the same way every time."""

from __future__ import annotations

import pytest
import torch

from agentspark.sampling.noise import PositionNoise


def test_the_same_seed_and_position_give_the_same_row() -> None:
    first, second = PositionNoise(5, 100), PositionNoise(5, 100)
    backwards = [second.at(position) for position in reversed(range(60))][::-1]
    for position in range(60):
        assert torch.equal(first.at(position), backwards[position])
    assert not torch.equal(first.at(0), first.at(1))
    assert not torch.equal(first.at(0), PositionNoise(6, 100).at(0))


def test_a_seed_means_the_same_everywhere() -> None:
    row = PositionNoise(5, 4).at(2)
    assert row.tolist() == pytest.approx([0.1120286, 1.1664732, 0.0278489, 0.5562559], rel=1e-5)


def test_tokens_follow_their_probabilities() -> None:
    probs = torch.tensor([0.5, 0.0, 0.2, 0.2, 0.1])
    counts = torch.zeros(5)
    for seed in range(20):
        noise = PositionNoise(seed, 5)
        for position in range(500):
            counts[noise.choose(probs[None], position)[0]] += 1
    assert counts[1] == 0
    kept = torch.tensor([0, 2, 3, 4])
    expected = probs[kept] * 10_000
    chi_square = float(((counts[kept] - expected) ** 2 / expected).sum())
    assert chi_square < 11.345  # p = 0.01 at three degrees of freedom


def test_a_pruned_vocabulary_uses_its_tokens_noise() -> None:
    noise, ids = PositionNoise(1, 50), torch.tensor([40, 3, 17])
    probs = torch.rand(50)
    pruned = torch.zeros(50)
    pruned[ids] = probs[ids]
    for position in range(40):
        column = noise.choose(probs[ids][None], position, ids)[0]
        assert ids[column] == noise.choose(pruned[None], position)[0]
