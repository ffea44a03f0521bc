"""Several processes that train one drafter, as ``torchrun`` starts them; mostly there is just one.

Every rank trains on its share of a step's sequences and all take the mean of the gradients, so
all hold the same weights. Rank 0 alone answers prompts and writes files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from agentspark.config import Dtype, EngineConfig
from agentspark.engine.precision import DTYPES, dtype_of
from agentspark.errors import ConfigError, LostRankError

# Others wait for rank 0 while it lets the target answer, which may take days.
_PATIENCE = timedelta(days=14)


@contextmanager
def _others_there() -> Iterator[None]:
    """Raise ``LostRankError`` where an exchange inside ends as another process did."""
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(
            "another process of this training has ended, so this one cannot go on: see what that "
            "said. The same command goes on from what was saved."
        ) from error


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among ``world`` ones; ``local`` is its number on this machine.

    ``asked`` is the device that was asked for (``None``: GPUs if there are any).
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    asked: str | None = None

    @classmethod
    def from_environment(cls, device: str | None = None) -> Ranks:
        """Read what ``torchrun`` says; one process where it says nothing.

        Raises ``ConfigError`` for numbers that cannot be, and where several processes are asked to
        share the one GPU of ``device``.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        given = [os.environ.get(name) for name in names]
        if given[1] is None:
            return cls(asked=device)
        try:
            rank, world, local = (int(value or "") for value in given)
        except ValueError as error:
            told = ", ".join(f"{n}={v}" for n, v in zip(names, given, strict=True))
            raise ConfigError(f"{told} make no ranks: start training with torchrun.") from error
        if world > 1 and device is not None and ":" in device:
            raise ConfigError(
                f"device={device!r} is one for all {world} processes: use 'cuda', where each takes "
                "its own, or 'cpu'."
            )
        return cls(rank, world, local, device)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Join the other processes meanwhile; nothing happens where there are none."""
        if self.world == 1:
            yield
            return
        on_cuda = self.device.startswith("cuda")
        if on_cuda and not self.local < torch.cuda.device_count():
            raise ConfigError(
                f"process {self.local} of this machine has no GPU ({torch.cuda.device_count()} are "
                "found): start as many as there are, or use device 'cpu'."
            )
        if on_cuda:
            torch.cuda.set_device(self.local)
        dist.init_process_group("nccl" if on_cuda else "gloo", timeout=_PATIENCE)
        try:
            yield
        finally:
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    @property
    def device(self) -> str:
        """Where this process computes; whether that is there is for those to say who load."""
        device = self.asked or ("cuda" if torch.cuda.is_available() else "cpu")
        return f"cuda:{self.local}" if device == "cuda" else device

    def dtype(self, asked: Dtype | None) -> torch.dtype:
        """What this process computes in: what is asked for, or as engines choose it here."""
        return DTYPES[dtype_of(EngineConfig(device=self.device, dtype=asked))]

    def wait(self) -> None:
        """Wait until all are here; this and the exchanges below raise ``LostRankError``."""
        if self.world > 1:
            with _others_there():
                dist.barrier()

    def average(self, params: Sequence[Tensor]) -> None:
        """Replace every gradient by its mean over the ranks, in one exchange."""
        if self.world == 1:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        # Summed in float32: what a bfloat16 sum drops is gone before the optimiser's copy.
        flat = torch.cat([grad.flatten().float() for grad in grads])
        with _others_there():
            dist.all_reduce(flat)
        flat /= self.world
        parts = flat.split([grad.numel() for grad in grads])
        for param, grad, part in zip(params, grads, parts, strict=True):
            param.grad = part.view_as(grad).to(grad.dtype)

    def agree(self, value: float) -> float:
        """Return rank 0's ``value``, so that all end at the same step."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        with _others_there():
            dist.broadcast(shared, src=0)
        return float(shared)
