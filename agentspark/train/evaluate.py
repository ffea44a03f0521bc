"""How many tokens a round would yield, without running rounds.

Greedy acceptance can be computed exactly from stored examples: as long as drafts are accepted the
drafted prefix *is* the response, so teacher forcing equals drafting, and a walk over the response
visits the anchors that real rounds would visit. At temperature 1 the rows' acceptance
probabilities give the expectation over a round that decides draft by draft; real rounds decide
whole blocks and keep some 5% more (``engine/verify.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
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
    count.
    """

    greedy: float | None
    sampled: float | None
    conditional: list[float | None]
    conditional_greedy: list[float | None]
    rounds: int
    anchors: int


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
    """Return ``(tokens, rounds)`` of greedy rounds where anchor ``i`` accepts ``lengths[i]``."""
    at = rounds = 0
    while at < len(lengths):
        at += lengths[at] + 1
        rounds += 1
    return at, rounds


def offline_tau(model: DraftModel, examples: Iterable[tuple[Example, bool]]) -> OfflineTau:
    """Return accepted lengths over held-out examples, each with whether it was chosen greedily.

    Its tokens do not tell: a grammar forces some that are not the target's best ones.
    """
    columns = column_map(model).to(model.backbone.fc.weight.device)
    block = model.config.block_size
    tokens = rounds = 0
    expected, blocks = 0.0, 0
    soft, hard, count = torch.zeros(block), torch.zeros(block), torch.zeros(block)
    reached = torch.zeros(block)
    for example, greedy in examples:
        accept, own, valid = (t.cpu() for t in accept_table(model, example, columns))
        full = valid.all(dim=1)
        expected += float((accept[full].cumprod(dim=1).sum(dim=1) + 1.0).sum())
        blocks += int(full.sum())
        soft += accept[full].sum(dim=0)
        count += full.sum()
        if not greedy:
            continue
        good = (own & valid).int().cumprod(dim=1)
        stepped, passes = walk(good.sum(dim=1).tolist())
        tokens, rounds = tokens + stepped, rounds + passes
        before = torch.cat((torch.ones_like(good[:, :1]), good[:, :-1]), dim=1)
        hard += good[full].sum(dim=0)
        reached += before[full].sum(dim=0)
    return OfflineTau(
        greedy=tokens / rounds if rounds else None,
        sampled=expected / blocks if blocks else None,
        conditional=_shares(soft, count),
        conditional_greedy=_shares(hard, reached),
        rounds=rounds,
        anchors=blocks,
    )


def _shares(part: Tensor, whole: Tensor) -> list[float | None]:
    return [p / w if w else None for p, w in zip(part.tolist(), whole.tolist(), strict=True)]


def shown_figure(value: float | None, places: int = 2) -> str:
    """An accepted length or a share as people read it."""
    return "unknown" if value is None else f"{value:.{places}f}"
