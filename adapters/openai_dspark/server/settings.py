"""How the server behaves; what the engine does is in ``agentspark.EngineConfig``."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from agentspark.errors import ConfigError

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server lets in, how long it works on it, and what it tells.

    ``served_name`` is the model's name for clients, the engine's if ``None``. ``api_keys``: one of
    them must come with every request, unless there is none. ``allowed_hosts``: further names in
    the ``Host`` header that a server without keys answers to (see ``checks_hosts``).
    ``queue_limit``: requests that may wait for a place in the engine; more get 429.
    ``max_body_bytes`` and ``body_timeout_s`` bound a request's body (its head has that time, too),
    ``request_timeout_s`` its answer, ``drain_s`` what a stopping server still finishes.
    ``max_choices`` bounds ``n``.
    ``default_temperature`` and ``default_max_tokens`` are for requests that say nothing (a legacy
    completion gets 16 tokens, as the API says). ``log_texts`` puts prompts and answers into the
    log. ``cors_origins`` are web pages' origins that may call. ``leave_out_tools``: tools that this
    server cannot offer to its model are left out, where they would be refused.
    """

    served_name: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: frozenset[str] = field(default=frozenset(), repr=False)
    insecure_no_key: bool = False
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    queue_limit: int = 64
    max_choices: int = 16
    max_body_bytes: int = 8 * 2**20
    body_timeout_s: float = 30.0
    request_timeout_s: float = 600.0
    drain_s: float = 30.0
    default_temperature: float = 1.0
    default_max_tokens: int = 2048
    log_texts: bool = False
    leave_out_tools: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be, or would put the engine on the network by accident."""
        if not self.is_local and not self.api_keys and not self.insecure_no_key:
            raise ConfigError(
                f"Anybody who reaches {self.host} could use this server: set AGENTSPARK_API_KEY, "
                "give --api-key-file, or say --insecure-no-key if that is meant."
            )
        for name in self.allowed_hosts:
            if not name or name != _host_of(name):
                raise ConfigError(
                    f"The allowed host {name!r} cannot be used: give a name alone, without a port."
                )
        if any(len(key) < 8 or not key.isascii() or not key.isprintable() for key in self.api_keys):
            raise ConfigError("An API key must have at least 8 printable ASCII characters.")
        for name in ("max_choices", "max_body_bytes", "default_max_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} cannot be used: give at least 1.")
        for name in ("body_timeout_s", "request_timeout_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}={getattr(self, name)} cannot be used: give seconds.")
        given = (self.queue_limit, self.drain_s, self.default_temperature)
        if not all(value >= 0 for value in given) or self.default_temperature > 100:
            raise ConfigError("queue_limit, drain_s and default_temperature must not be negative.")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def checks_hosts(self) -> bool:
        """Whether a request must address the server by a local or allowed name.

        Without keys, a web page could otherwise reach a local server through a name of its own
        that resolves to it (DNS rebinding).
        """
        return not self.api_keys and self.is_local

    def knows_host(self, header: str) -> bool:
        """Whether a ``Host`` header names this server."""
        known = (*_LOCAL_NAMES, self.host, *self.allowed_hosts)
        return _plain(_host_of(header)) in {_plain(name) for name in known}


def _host_of(header: str) -> str:
    """A ``Host`` header without its port; an IPv6 address stands in brackets before that."""
    bare = header.count(":") > 1 and not header.startswith("[")
    return header if bare or header.endswith("]") else header.rpartition(":")[0] or header


def _plain(name: str) -> str:
    """Host names are the same in capitals and with the root's dot."""
    return name.strip("[]").lower().removesuffix(".")
