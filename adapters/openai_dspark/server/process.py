"""Running the server in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, cast

import uvicorn

from agentspark.errors import ConfigError
from openai_dspark.server.app import ServerApp
from openai_dspark.server.protocol import HttpProtocol
from openai_dspark.server.settings import ServerSettings
from openai_dspark.server.unread import Unread

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai_dspark.server.unread import Connection

_log = logging.getLogger(__name__)

# What a cancelled request gets to say so to its client.
_LAST_WORDS_S = 5
_TICK_S = 0.05


def bind(settings: ServerSettings) -> socket.socket:
    """A socket bound to the settings' address; ``ConfigError`` where that is not possible.

    Done before the model is loaded, so that a port in use costs no waiting.
    """
    host = settings.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be used: {error.strerror or error}. "
            "Choose another --host or --port."
        ) from error
    return bound


class Server(uvicorn.Server):
    """uvicorn, but stopping in our way: drain, then cancel, then close.

    While it drains, new requests get 503 and ``/health`` says so. A second signal stops at once.
    """

    def __init__(self, app: ServerApp, on_started: Callable[[], None] | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(  # type: ignore[arg-type]  # called as the class would be
                    HttpProtocol, head_timeout_s=app.service.settings.body_timeout_s
                ),
                lifespan="on",
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_LAST_WORDS_S,
            )
        )
        self._service = app.service
        self._on_started = on_started

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the first signal, at once after the second."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        if self._on_started is not None and not self.should_exit:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what runs within ``drain_s``, cancel the rest, close the engine.

        Clients that read nothing are not waited for longer than that.
        """
        service = self._service
        unread = Unread(cast("set[Connection]", self.server_state.connections))
        service.draining = True
        loop = asyncio.get_running_loop()
        ends = loop.time() + service.settings.drain_s
        if service.busy:
            _log.info("draining", extra={"fields": {"running": service.busy}})
        while service.busy and loop.time() < ends and not self.force_exit:
            unread.look(loop.time())
            await asyncio.sleep(_TICK_S)
        service.stop_calls()
        forced, self.force_exit = self.force_exit, False
        hanging_up = asyncio.create_task(_hang_up(unread))
        try:
            await super().shutdown(sockets)
        finally:
            hanging_up.cancel()
        self.force_exit = forced


async def _hang_up(unread: Unread) -> None:
    """Close the connections of clients that read nothing, for ever."""
    while True:
        for connection in unread.look(asyncio.get_running_loop().time()):
            connection.transport.abort()
        await asyncio.sleep(_TICK_S)


def serve(
    app: ServerApp, bound: socket.socket, on_started: Callable[[], None] | None = None
) -> None:
    """Serve on ``bound`` until a signal comes; returns when everything is closed."""
    Server(app, on_started).run(sockets=[bound])
