"""What stored features were read from; of another target they are nothing to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Origin:
    """A target by its fingerprint, the layers read, and the width and format of their states."""

    target: str
    layers: tuple[int, ...]
    width: int
    dtype: torch.dtype

    def to_metadata(self) -> dict[str, str]:
        """Return the entries of a shard's metadata; the tensors themselves tell the rest."""
        return {"target": self.target, "layers": ",".join(map(str, self.layers))}

    def other(self, metadata: dict[str, str], states: Tensor) -> str | None:
        """Say how a shard with ``metadata`` and rows of ``states`` is none of this origin's.

        ``None`` where it is one, as far as is known: older shards do not tell their target.
        """
        mine = self.to_metadata()
        if metadata.get("target", self.target) != self.target:
            return "is of another target: give the target it was made with"
        if metadata.get("layers", mine["layers"]) != mine["layers"]:
            return (
                f"holds the target's layers {metadata['layers']} and the drafter reads "
                f"{mine['layers']}: train online"
            )
        width = states.shape[-1]
        if width != self.width:
            return (
                f"holds states of {width} numbers and the drafter reads {self.width}, so it is of "
                "another target or other layers of it: give the target it was made with"
            )
        if states.dtype != self.dtype:
            there, here = (
                str(dtype).removeprefix("torch.") for dtype in (states.dtype, self.dtype)
            )
            return f"holds {there} states and the target is read in {here}: give --dtype {there}"
        return None
