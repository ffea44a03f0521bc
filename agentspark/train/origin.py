"""What stored features were read from; of another target they are nothing to learn from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """A target by its fingerprint, the layers read, and the width of their states together."""

    target: str
    layers: tuple[int, ...]
    width: int

    def to_metadata(self) -> dict[str, str]:
        """Return the entries of a shard's metadata; the tensors themselves tell the width."""
        return {"target": self.target, "layers": ",".join(map(str, self.layers))}

    def other(self, metadata: dict[str, str], width: int) -> str | None:
        """Say how a shard with ``metadata`` and states of ``width`` is none of this origin's.

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
        if width != self.width:
            return (
                f"holds states of {width} numbers and the drafter reads {self.width}, so it is of "
                "another target or other layers of it: give the target it was made with"
            )
        return None
