"""How many tokens a round would yield, without running rounds.

Greedy acceptance can be computed exactly from stored examples: as long as drafts are accepted the
drafted prefix *is* the response, so teacher forcing equals drafting, and a walk over the response
visits the anchors that real rounds would visit. At temperature 1 the rows' acceptance
probabilities give the expectation over a round that decides draft by draft; real rounds decide
whole blocks and keep some 5% more (``engine/verify.py``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentspark.dspark.model import DraftModel
from agentspark.train.blocks import Example, run_blocks
from agentspark.train.loss import LossWeights, block_loss, column_map

_ANCHORS = 64


@dataclass(frozen=True, slots=True)
class OfflineTau:
    """Accepted length per round (bonus included) on held-out responses.

    ``greedy`` is the walk over the greedy responses, ``sampled`` the expectation at temperature 1
    over all anchors of all responses. ``conditional[k]`` is the mean probability at temperature 1
    that draft ``k + 1`` is accepted after the response's own tokens, ``conditional_greedy[k]`` the
    share of greedy drafts accepted where all before them were. ``None`` where there was nothing to
    count. ``greedy_parts`` and ``sampled_parts`` are what the two figures are ratios of: the tokens
    and rounds of every response, in order.
    """

    greedy: float | None
    sampled: float | None
    conditional: list[float | None]
    conditional_greedy: list[float | None]
    rounds: int
    anchors: int
    greedy_parts: tuple[tuple[float, int], ...] = ()
    sampled_parts: tuple[tuple[float, int], ...] = ()


@torch.no_grad()
def accept_table(
    model: DraftModel, example: Example, columns: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``accept, own, valid``, each ``[N, K]``, for all ``N`` anchors of an example.

    ``own`` says whether the likeliest draft is the response's own token.
    """
    anchors = torch.arange(example.start, example.tokens.numel() - 1)
    block = model.config.block_size
    accept, own, valid = [], [], []
    for some in anchors.split(_ANCHORS):
        rows = run_blocks(model, [example], [some])
        parts = block_loss(model, [example], rows, columns, LossWeights())
        accept.append(parts.accept.view(-1, block))
        own.append(parts.own.view(-1, block))
        valid.append(rows.valid.view(-1, block))
    return torch.cat(accept), torch.cat(own), torch.cat(valid)


def walk(lengths: list[int]) -> tuple[int, int]:
    """Return ``(tokens, rounds)`` of greedy rounds where anchor ``i`` accepts ``lengths[i]``.

    A round that accepts the response's end has no bonus: nothing comes after it.
    """
    at = rounds = 0
    while at < len(lengths):
        at += lengths[at] + 1
        rounds += 1
    return min(at, len(lengths)), rounds


def offline_tau(model: DraftModel, examples: Iterable[tuple[Example, bool]]) -> OfflineTau:
    """Return accepted lengths over held-out examples, each with whether it was chosen greedily.

    Its tokens do not tell: a grammar forces some that are not the target's best ones.
    """
    columns = column_map(model).to(model.backbone.fc.weight.device)
    block = model.config.block_size
    walked: list[tuple[float, int]] = []
    expected: list[tuple[float, int]] = []
    soft, hard, count = torch.zeros(block), torch.zeros(block), torch.zeros(block)
    reached = torch.zeros(block)
    for example, greedy in examples:
        accept, own, valid = (t.cpu() for t in accept_table(model, example, columns))
        full = valid.all(dim=1)
        yields = accept[full].cumprod(dim=1).sum(dim=1) + 1.0
        expected.append((float(yields.sum()), int(full.sum())))
        soft += accept[full].sum(dim=0)
        count += full.sum()
        if not greedy:
            continue
        good = (own & valid).int().cumprod(dim=1)
        walked.append(walk(good.sum(dim=1).tolist()))
        before = torch.cat((torch.ones_like(good[:, :1]), good[:, :-1]), dim=1)
        hard += good[full].sum(dim=0)
        reached += before[full].sum(dim=0)
    return OfflineTau(
        greedy=_mean(walked),
        sampled=_mean(expected),
        conditional=_shares(soft, count),
        conditional_greedy=_shares(hard, reached),
        rounds=sum(rounds for _, rounds in walked),
        anchors=sum(blocks for _, blocks in expected),
        greedy_parts=tuple(walked),
        sampled_parts=tuple(expected),
    )


def _mean(parts: Sequence[tuple[float, int]]) -> float | None:
    rounds = sum(rounds for _, rounds in parts)
    return sum(tokens for tokens, _ in parts) / rounds if rounds else None


def gain_error(
    before: Sequence[tuple[float, int]], after: Sequence[tuple[float, int]]
) -> float | None:
    """The standard error of what one accepted length is above another, of the same responses.

    Both are ratios of sums, so each response counts by what it moves them (the delta method, in
    pairs). ``None`` where fewer than two responses say anything.
    """
    pairs = [pair for pair in zip(before, after, strict=True) if pair[0][1] and pair[1][1]]
    if len(pairs) < 2:
        return None
    moved = [0.0] * len(pairs)
    for sign, parts in ((-1.0, [old for old, _ in pairs]), (1.0, [new for _, new in pairs])):
        rounds = sum(count for _, count in parts)
        tau = sum(tokens for tokens, _ in parts) / rounds
        for index, (tokens, count) in enumerate(parts):
            moved[index] += sign * (tokens - tau * count) / rounds
    return math.sqrt(sum(part * part for part in moved) * len(pairs) / (len(pairs) - 1))


def _shares(part: Tensor, whole: Tensor) -> list[float | None]:
    return [p / w if w else None for p, w in zip(part.tolist(), whole.tolist(), strict=True)]


def shown_figure(value: float | None, places: int = 2) -> str:
    """An accepted length or a share as people read it."""
    return "unknown" if value is None else f"{value:.{places}f}"
