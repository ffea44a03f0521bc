"""What the engine needs of a drafter, whatever its family, and what it is told of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from agentspark.drafting.masked import DraftMask
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.config import DrafterConfig
from agentspark.kv.batch import token_slots
from agentspark.kv.store import KVStore, LayerShape
from agentspark.sampling.noise import PositionNoise
from agentspark.sampling.params import SamplingParams


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """One request to draft for: its last committed token at position ``context``.

    ``blocks`` must cover ``context + block_size + 1`` tokens: the block's own keys and values are
    written behind the context and overwritten when the round is committed. A seeded request brings
    its ``noise`` and the output ``position`` of the first draft; one with a grammar what it allows.
    """

    anchor: int
    context: int
    blocks: Sequence[int]
    sampling: SamplingParams
    generator: torch.Generator | None = None
    noise: PositionNoise | None = None
    position: int = 0
    grammar: DraftMask | None = None

    @property
    def drawn(self) -> bool:
        """Whether drafts are drawn at random, so that verification needs their distributions."""
        return not self.sampling.greedy and self.noise is None


@dataclass(frozen=True, slots=True)
class ContextRows:
    """Committed tokens ``[T]``: their ids, positions, slots in the pool.

    ``before`` are the slots of the positions before theirs; any slot where the position is 0.
    """

    tokens: Tensor
    positions: Tensor
    slots: Tensor
    before: Tensor

    @classmethod
    def of(
        cls,
        tokens: Sequence[int],
        positions: Sequence[int],
        slots: Sequence[int],
        before: Sequence[int],
        device: torch.device,
    ) -> ContextRows:
        """Make the tensors."""
        lists = (tokens, positions, slots, before)
        made = (torch.tensor(list(v), dtype=torch.long, device=device) for v in lists)
        return cls(*made)


def context_slots(
    blocks: Sequence[int], first: int, end: int, block_tokens: int
) -> tuple[list[int], list[int]]:
    """Slots of the tokens ``first .. end``, and for each that of the token before it."""
    own = token_slots(blocks, first, end, block_tokens)
    leading = token_slots(blocks, first - 1, first, block_tokens) if first else own[:1]
    return own, [*leading, *own[:-1]]


class Drafter(Protocol):
    """The drafter of one engine. Used by the loop thread alone.

    Its context covers the positions strictly before a request's anchor. ``config`` says which of
    the target's layers it reads (``target_layer_ids``).
    """

    @property
    def name(self) -> str:
        """Its checkpoint's name."""

    @property
    def config(self) -> DrafterConfig:
        """Its checkpoint's settings."""

    @property
    def block_size(self) -> int:
        """Drafts of one proposal."""

    @property
    def confident(self) -> bool:
        """Whether a proposal's survival was estimated for it; if not, it is all 1.

        The engine then goes by how far earlier proposals of the request got.
        """

    @property
    def kv_shapes(self) -> list[LayerShape]:
        """What it keeps of every token in ``KVStore.drafter``."""

    def bind(self, store: KVStore) -> None:
        """Use the pool that the target's attention uses."""

    def append(self, features: Tensor, rows: ContextRows) -> None:
        """Add committed tokens to the context.

        ``features`` ``[T, m * d]`` are the target's hidden states of the rows. Rows of one request
        come in the order of their positions, and the ones before them were appended earlier.
        """

    def usual_drafts(self, requests: int) -> int:
        """How many drafts each of so many requests should get, 1 to ``block_size``."""

    def propose(
        self, requests: Sequence[DraftRequest], drafts: int | None = None
    ) -> list[Proposal]:
        """``drafts`` drafts (``None``: ``block_size``) for each request, in one pass."""

    def release(self) -> None:
        """Give the weights' memory back; it will not be asked again."""
