"""The target's forward over a flattened batch: tokens in, logits of some rows and features out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

from agentspark.kv.batch import AttentionBatch, Segment
from agentspark.kv.store import KVStore
from agentspark.models.feature_hooks import FeatureHooks
from agentspark.models.prepack import row_step

# Matrix kernels take another path for very few rows; from four rows on a row's bits are its own.
_EXACT_ROWS = 4


@dataclass(slots=True)
class FlatRows:
    """Rows of one forward: their tokens, positions, segments, and which of them want logits."""

    token_ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    logit_rows: list[int] = field(default_factory=list)

    def add(self, tokens: Sequence[int], context: int, blocks: Sequence[int]) -> int:
        """Append one sequence's rows at positions from ``context``; returns the first row."""
        start = len(self.token_ids)
        self.token_ids.extend(tokens)
        self.positions.extend(range(context, context + len(tokens)))
        self.segments.append(Segment(start, len(tokens), context, blocks))
        return start


@dataclass(frozen=True, slots=True)
class RowOutputs:
    """``logits`` ``[logit rows, V]`` in the model's dtype; ``features`` ``[rows, m * d]``.

    ``finite``: no row of this forward has come upon a NaN or an infinity.
    """

    logits: torch.Tensor
    features: torch.Tensor | None
    finite: bool = True


class TargetRunner:
    """Runs the target over the pool. Feature layers are read by hooks and cost nothing else."""

    def __init__(
        self,
        model: PreTrainedModel,
        store: KVStore,
        *,
        exact: bool,
        feature_layers: Sequence[int] = (),
        row_multiple: int | None = None,
        fewest_rows: int = 1,
    ) -> None:
        """``row_multiple`` is what the number of rows of every forward has to be a multiple of.

        ``None`` leaves that to what oneDNN's kernels need. A forward of fewer has at least
        ``fewest_rows``.
        """
        self._model = model
        self._store = store
        self._exact = exact
        self._row_multiple = row_multiple
        self._fewest_rows = fewest_rows
        self._dtype = model.dtype
        self._device = model.device
        self._hooks = FeatureHooks(model, feature_layers) if feature_layers else None

    def close(self) -> None:
        """Take the hooks off the model."""
        if self._hooks is not None:
            self._hooks.remove()

    @torch.inference_mode()
    def forward(self, rows: FlatRows) -> RowOutputs:
        """One target pass. Keys and values of all rows are in the pool when it returns."""
        count = len(rows.token_ids)
        padding = self.bucket(count) - count
        batch = AttentionBatch(
            segments=rows.segments,
            rows=count + padding,
            block_tokens=self._store.block_tokens,
            scratch_slot=self._store.scratch_slot,
            exact=self._exact,
            dtype=self._dtype,
            device=self._device,
        )
        wanted = self._wanted_rows(rows.logit_rows)
        logits = self._model(
            input_ids=self._row(rows.token_ids, padding),
            position_ids=self._row(rows.positions, padding),
            use_cache=False,
            logits_to_keep=wanted,
            kv_store=self._store,
            kv_batch=batch,
        ).logits[0]
        features = None
        if self._hooks is not None:
            kept = [state[0, :count] for state in self._hooks.states()]
            features = torch.cat(kept, dim=-1)
        logits = logits[: len(rows.logit_rows)]
        return RowOutputs(logits, features, self._finite(logits, features, batch.slots))

    def _finite(
        self, logits: torch.Tensor, features: torch.Tensor | None, slots: torch.Tensor | slice
    ) -> bool:
        """Whether all came out as numbers: what does not is passed on by every layer behind.

        So the last layer's keys and values tell of all rows, also of those without logits. Sums
        take some microseconds, and are finite only if all they add up is. A logit may be -inf.
        """
        last = self._store.last_target
        ends = [last.k[:, slots], last.v[:, slots], *([] if features is None else [features])]
        sums = torch.stack([logits.sum(), *(end.sum().abs() for end in ends)])
        return bool((sums < torch.inf).all())

    def bucket(self, count: int) -> int:
        """The number of rows that a forward of ``count`` rows really has."""
        if self._row_multiple is not None:
            if count < self._row_multiple:
                return max(count, self._fewest_rows)
            return -(-count // self._row_multiple) * self._row_multiple
        step = row_step(count)
        if self._exact:
            count = max(count, _EXACT_ROWS)
            if self._dtype == torch.float32:
                step = max(step, _EXACT_ROWS)
        return -(-count // step) * step

    def buckets(self, most: int) -> tuple[int, ...]:
        """The numbers of rows that forwards of up to ``most`` rows have, ascending."""
        return tuple(sorted({self.bucket(count) for count in range(1, most + 1)}))

    def _wanted_rows(self, logit_rows: Sequence[int]) -> torch.Tensor:
        wanted = list(logit_rows) or [0]
        wanted += [wanted[-1]] * (self.bucket(len(wanted)) - len(wanted))
        return torch.tensor(wanted, device=self._device)

    def _row(self, values: Sequence[int], padding: int) -> torch.Tensor:
        return torch.tensor([[*values, *([0] * padding)]], device=self._device)
