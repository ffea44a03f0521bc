"""The end of a stream: its body is read to the end, so that its connection can be used again.

A server that does not end the body soon behind ``[DONE]`` loses the connection. The answer is
whole by then, so nothing is raised. Some servers (transformers') send no ``[DONE]``: there the
choices tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import httpx

from openai_dspark.client.hanging_up import hang_up
from openai_dspark.client.opening import Chunk

_GRACE_S = 1.0
_MOST_BYTES = 1 << 16


class Endings:
    """Which choices of a stream have ended."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def take(self, chunk: Chunk) -> Chunk:
        """Look at ``chunk``, and give it back."""
        for choice in chunk.choices:
            self._begun.add(choice.index)
            if choice.finish_reason:
                self._ended.add(choice.index)
        return chunk

    @property
    def whole(self) -> bool:
        """Whether some have begun and none is open."""
        return bool(self._begun) and self._begun == self._ended


def read_to_end(response: httpx.Response, parts: Iterator[bytes]) -> None:
    """Skip what is left of ``parts``, the body of ``response``."""
    # httpx fixes the time of a read before the first one: this one has to be ended from outside.
    timer = threading.Timer(_GRACE_S, hang_up, (response,))
    timer.daemon = True
    timer.start()
    try:
        with contextlib.suppress(httpx.HTTPError):
            skipped = 0
            for part in parts:
                skipped += len(part)
                if skipped > _MOST_BYTES:
                    break
    finally:
        timer.cancel()


async def aread_to_end(parts: AsyncIterator[bytes]) -> None:
    """Skip what is left of ``parts``, the body of a response."""
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            skipped = 0
            async for part in parts:
                skipped += len(part)
                if skipped > _MOST_BYTES:
                    break
