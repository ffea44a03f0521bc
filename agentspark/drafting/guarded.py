"""A drafter whose failure costs its drafts and nothing else."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from torch import Tensor

from agentspark.drafting.drafter import ContextRows, Drafter, DraftRequest
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.config import DrafterConfig
from agentspark.kv.store import KVStore, LayerShape

_log = logging.getLogger(__name__)


class GuardedDrafter:
    """Passes everything on to a drafter until that raises; proposes nothing from then on.

    Outputs never depend on drafts, so requests go on as they are. The drafter is not tried again:
    its context has a hole where it failed. The failure is logged once, with its traceback.
    """

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.failed = False

    @property
    def name(self) -> str:
        """See ``Drafter``."""
        return self._drafter.name

    @property
    def config(self) -> DrafterConfig:
        """See ``Drafter``."""
        return self._drafter.config

    @property
    def block_size(self) -> int:
        """See ``Drafter``."""
        return self._drafter.block_size

    @property
    def confident(self) -> bool:
        """See ``Drafter``."""
        return self._drafter.confident

    @property
    def kv_shapes(self) -> list[LayerShape]:
        """See ``Drafter``."""
        return self._drafter.kv_shapes

    def bind(self, store: KVStore) -> None:
        """See ``Drafter``; nothing is guarded yet, a drafter that cannot be bound is an error."""
        self._drafter.bind(store)

    def append(self, features: Tensor, rows: ContextRows) -> None:
        """Add committed tokens to the context, if there is still a use for it."""
        if self.failed:
            return
        try:
            self._drafter.append(features, rows)
        except Exception:
            self._give_up("taking in context")

    def usual_drafts(self, requests: int) -> int:
        """See ``Drafter``."""
        return self._drafter.usual_drafts(requests)

    def propose(
        self, requests: Sequence[DraftRequest], drafts: int | None = None
    ) -> list[Proposal]:
        """Drafts for each request; empty ones after a failure.

        What has no survival in numbers is left out: planning would drop the others' drafts too.
        """
        if not self.failed:
            try:
                proposals = self._drafter.propose(requests, drafts)
                return [p if all(map(math.isfinite, p.survival)) else Proposal() for p in proposals]
            except Exception:
                self._give_up("drafting")
        return [Proposal() for _ in requests]

    def release(self) -> None:
        """See ``Drafter``."""
        self._drafter.release()

    def _give_up(self, doing: str) -> None:
        self.failed = True
        _log.exception(
            "The drafter %s failed while %s: the engine goes on without it, slower. Load a new "
            "engine to have it back; if it happens again, report it with this log.",
            self.name,
            doing,
        )
