"""Drafts chosen step by step from logits: greedy, drawn at random, or by a seed's noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.drafting.drafter import DraftRequest
from agentspark.drafting.masked import follow, mask_logits
from agentspark.drafting.proposal import DraftProbs, Proposal
from agentspark.dspark.model import DraftModel
from agentspark.sampling.draw import draw_tokens
from agentspark.sampling.sampler import argmax_ids, probabilities


class BlockDraw:
    """The drafts of one pass for ``B`` requests.

    ``choose`` is called once per step; ``tokens`` are then the target ids ``[B, steps]``.
    """

    def __init__(self, model: DraftModel, requests: Sequence[DraftRequest]) -> None:
        self._model, self._requests = model, requests
        self._params = [request.sampling for request in requests]
        self._greedy = all(p.greedy for p in self._params)
        self._grammars = [request.grammar for request in requests]
        self._constrained = any(grammar is not None for grammar in self._grammars)
        self._tokens: list[Tensor] = []
        self._columns: list[Tensor] = []
        self._rows: list[Tensor] = []

    def choose(self, logits: Tensor) -> Tensor:
        """Return the next draft's target id of each request, ``[B]``, from ``[B, V_draft]``."""
        if not self._greedy and not bool(logits.sum() < torch.inf):
            # Where the target's numbers are none either, and any draft will do, for it alone.
            logits = logits.nan_to_num(0.0, 0.0, 0.0)
        logits = mask_logits(logits, self._grammars, self._model.draft_token_ids)
        if self._greedy:
            chosen = argmax_ids(logits)
        else:
            probs = probabilities(logits, self._params)
            chosen = self._draw(probs)
            self._rows.append(probs)
        columns = torch.tensor(chosen, device=logits.device)
        self._columns.append(columns)
        self._tokens.append(self._model.to_target_ids(columns))
        if self._constrained:
            follow(self._grammars, self._tokens[-1].tolist())
        return self._tokens[-1]

    def _draw(self, probs: Tensor) -> list[int]:
        """Column of the next draft of each request, from its row of ``probs [B, V_draft]``."""
        columns = draw_tokens(probs, [request.generator for request in self._requests])
        for index, request in enumerate(self._requests):
            if request.noise is not None:
                row, ids = probs[index : index + 1], self._model.draft_token_ids
                place = request.position + len(self._tokens)
                columns[index] = request.noise.choose(row, place, ids)[0]
        return columns

    @property
    def tokens(self) -> Tensor:
        """Target ids of all drafts so far, ``[B, steps]``."""
        return torch.stack(self._tokens, dim=1)

    def proposals(self, survival: Sequence[Sequence[float]], source: str) -> list[Proposal]:
        """Return one proposal per request, with the distributions of what was drawn."""
        ids, columns = self.tokens.tolist(), torch.stack(self._columns, dim=1)
        proposals = []
        for index, request in enumerate(self._requests):
            probs = None
            if request.drawn:
                probs = DraftProbs.of(
                    torch.stack([step[index] for step in self._rows]),
                    columns[index].tolist(),
                    self._model.draft_token_ids,
                )
            proposals.append(Proposal(ids[index], list(survival[index]), probs, source))
        return proposals
