"""Ending a connection under a read that waits on it: httpx fixes a read's time before the first."""

from __future__ import annotations

import contextlib
import os
import socket

import httpx


def hang_up(response: httpx.Response) -> None:
    """End the connection of ``response`` if that is not read to its end.

    What has arrived can still be read.
    """
    stream = response.extensions.get("network_stream")
    if stream is None or response.is_closed:
        return
    found = stream.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if isinstance(found, socket.socket):
            # The plain socket's method: that of a TLS socket takes its state from under the reader.
            socket.socket.shutdown(found, socket.SHUT_RDWR)
        elif found is not None:
            # Not by its own method: uvloop's stand-ins for sockets refuse theirs.
            with socket.socket(fileno=os.dup(found.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
