"""What an engine is doing and has done."""

from __future__ import annotations

from dataclasses import dataclass

from agentspark.engine.turn import TurnTimes


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot. Blocks are KV blocks; ``kv_bytes_used`` counts shared blocks once.

    ``cached_blocks`` are kept for later requests (some of them in use now). ``times`` sums the
    phases of all turns in seconds.
    """

    running: int
    waiting: int
    total_blocks: int
    used_blocks: int
    cached_blocks: int
    block_tokens: int
    kv_bytes_used: int
    kv_bytes_total: int
    times: TurnTimes
