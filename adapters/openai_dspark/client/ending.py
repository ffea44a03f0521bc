"""The end of a stream: its body is read to the end, so that its connection can be used again.

A server that does not end the body soon behind ``[DONE]`` loses the connection. The answer is
whole by then, so nothing is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import httpx

from openai_dspark.client.hanging_up import hang_up

_GRACE_S = 1.0
_MOST_BYTES = 1 << 16


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
