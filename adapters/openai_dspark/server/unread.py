"""Connections whose clients read nothing of what they are sent, while the server stops."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

# Without a byte taken for so long, nobody waits for the rest.
_PATIENCE_S = 1.0


class Transport(Protocol):
    """What is asked of a connection's transport."""

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be sent: the system has taken as many as it does."""
        ...

    def abort(self) -> None:
        """Close at once; what waits is lost."""
        ...


class Connection(Protocol):
    """One client's."""

    transport: Transport


class Unread:
    """Watches ``connections``; ``look`` from time to time."""

    def __init__(self, connections: Collection[Connection]) -> None:
        self._connections = connections
        # How much waits for each, and since when no less does.
        self._waiting: dict[Connection, tuple[int, float]] = {}

    def look(self, now: float) -> list[Connection]:
        """Those of which no byte was taken for a while up to ``now`` (seconds)."""
        before, self._waiting = self._waiting, {}
        for connection in self._connections:
            size = connection.transport.get_write_buffer_size()
            least, since = before.get(connection, (size, now))
            if size:
                self._waiting[connection] = (size, now if size < least else since)
        return [one for one, (_, since) in self._waiting.items() if now - since >= _PATIENCE_S]
