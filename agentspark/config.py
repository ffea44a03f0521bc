"""Engine settings and their defaults, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentspark.errors import ConfigError

Dtype = Literal["bfloat16", "float16", "float32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How an engine runs; what differs per request is in ``RequestOptions``.

    ``dtype`` is the target's and the KV-cache's; ``None`` takes bfloat16 where the device computes
    in it (processors that do not take several times as long for it), else float16 where the
    processor has kernels for that, else float32. ``float16`` is the format of the weights of linear
    layers only, on a CPU: all else is in float32. ``block_tokens`` is the size of a KV block and
    the granularity of prefix sharing. ``kv_tokens`` is the pool's capacity in tokens; ``None``
    takes a device-dependent default. ``max_requests`` run at once, further ones queue.
    ``prefill_chunk`` bounds the prompt tokens of one turn of the loop. ``exact`` makes a token's
    logits independent of how it is computed (alone, batched, speculative, cold or cached).
    ``threads`` compute on a CPU; ``None`` leaves torch's number. Once another thread of the
    process has run torch in parallel too, there are more OpenMP workers than cores and they sleep
    between calls: a forward takes 1.3 to 1.9 times as long. Serve from a process of its own then.
    ``round_counts`` keeps what every single round of a request verified and kept, in its counts.
    """

    device: str | None = None
    dtype: Dtype | None = None
    exact: bool = True
    block_tokens: int = 8
    kv_tokens: int | None = None
    max_requests: int = 32
    max_context: int | None = None
    prefill_chunk: int = 512
    threads: int | None = None
    cache_dir: Path | None = None
    round_counts: bool = False

    def __post_init__(self) -> None:
        """Reject values that cannot be (``ConfigError``)."""
        if self.dtype not in ("bfloat16", "float16", "float32", None):
            raise ConfigError(
                f"dtype={self.dtype!r} is unknown: use bfloat16, float16, float32 or None."
            )
        if self.block_tokens < 8 or self.block_tokens & (self.block_tokens - 1):
            raise ConfigError(
                f"block_tokens={self.block_tokens} cannot be used: give a power of two from 8."
            )
        for name in ("kv_tokens", "max_context", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name}={value} cannot be used: give a positive number.")
        if self.max_requests < 1 or self.prefill_chunk < 16:
            raise ConfigError("max_requests must be at least 1 and prefill_chunk at least 16.")
