"""Engines shared by every ``ChatDSpark`` of the process: one per model, drafter and settings.

A lease keeps an engine open. ``close`` ends a lease at once, and the last one closes the engine.
A lease that is merely forgotten is ended at the next ``lease`` or ``close`` call or at exit: the
garbage collector may run in any thread, also in an engine's own, where closing would lock up.

A forked child starts without engines: the threads that run them stay with its parent.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agentspark.config import EngineConfig
from agentspark.errors import AgentSparkError
from langchain_dspark import forks

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What tells one shared engine from another."""

    model: str
    drafter: str | None
    config: EngineConfig
    trace: Path | None
    trace_tokens: bool = False


class _Shared:
    """An engine and how many leases it has; ``loading`` is held while it is being loaded."""

    def __init__(self, key: EngineKey) -> None:
        self.key = key
        self.engine: Engine | None = None
        self.leases = 0
        self.loading = threading.Lock()


class EngineLease:
    """The right to use a shared engine until ``close``."""

    def __init__(self, shared: _Shared, engine: Engine) -> None:
        self.engine = engine
        self._shared = shared
        self._forget = weakref.finalize(self, _forgotten.append, shared)
        self._forget.atexit = False

    def close(self) -> None:
        """End the lease (again is harmless); the last lease closes the engine."""
        if self._forget.detach() is not None:
            _end(self._shared)
        _sweep()

    def discard(self) -> None:
        """End the lease and let nobody lease this engine again: it died."""
        with _registry_lock:
            if _registry.get(self._shared.key) is self._shared:
                del _registry[self._shared.key]
        with contextlib.suppress(AgentSparkError):
            self.close()


class Leases:
    """The leases of one holder, one per engine it has called. Copies start without any."""

    def __init__(self) -> None:
        self._start()
        forks.restart_in_child(self, Leases._start)

    def _start(self) -> None:
        self._held: dict[EngineKey, EngineLease] = {}
        self._lock = threading.Lock()

    def __eq__(self, other: object) -> bool:
        """Two models are equal by their settings, whatever each has leased so far."""
        return isinstance(other, Leases)

    def __reduce__(self) -> tuple[type[Leases], tuple[()]]:
        """Pickled and deep copies lease for themselves."""
        return Leases, ()

    def engine(self, key: EngineKey) -> Engine:
        """The engine of ``key``, leased and if need be loaded now; the load's errors pass."""
        held = self.held(key)
        if held is not None:
            return held
        fresh = lease(key)
        with self._lock:
            kept = self._held.setdefault(key, fresh)
        if kept is not fresh:
            fresh.close()
        return kept.engine

    def held(self, key: EngineKey) -> Engine | None:
        """The engine of ``key`` if it is leased already."""
        with self._lock:
            found = self._held.get(key)
        return None if found is None else found.engine

    def discard(self, key: EngineKey, engine: Engine) -> None:
        """Drop ``engine``, which died; the next ``engine`` call loads another."""
        with self._lock:
            found = self._held.get(key)
            if found is None or found.engine is not engine:
                return  # another thread was first
            del self._held[key]
        found.discard()

    def close(self) -> None:
        """End all leases; engines that nobody else leases are closed."""
        with self._lock:
            ended, self._held = list(self._held.values()), {}
        for one in ended:
            one.close()


_registry: dict[EngineKey, _Shared] = {}
_registry_lock = threading.Lock()
_forgotten: deque[_Shared] = deque()


def lease(key: EngineKey) -> EngineLease:
    """Lease the engine of ``key``, loading it if nobody has it; the load's errors pass through."""
    with _registry_lock:
        shared = _registry.setdefault(key, _Shared(key))
        shared.leases += 1
    _sweep()
    try:
        with shared.loading:
            if shared.engine is None:
                shared.engine = _load(key)
            return EngineLease(shared, shared.engine)
    except BaseException:
        _end(shared)
        raise


def _load(key: EngineKey) -> Engine:
    from agentspark.engine.engine import Engine

    return Engine.load(
        key.model,
        drafter=key.drafter,
        config=key.config,
        trace=key.trace,
        trace_tokens=key.trace_tokens,
    )


def _end(shared: _Shared) -> None:
    with _registry_lock:
        shared.leases -= 1
        if shared.leases:
            return
        if _registry.get(shared.key) is shared:
            del _registry[shared.key]
        engine, shared.engine = shared.engine, None
    if engine is not None:
        engine.close()


def _sweep() -> None:
    while _forgotten:
        try:
            shared = _forgotten.popleft()
        except IndexError:  # another thread took it
            return
        _end(shared)


def _close_all() -> None:
    with _registry_lock:
        engines = [shared.engine for shared in _registry.values() if shared.engine is not None]
        _registry.clear()
    for engine in engines:
        with contextlib.suppress(AgentSparkError):
            engine.close()


def _start_again() -> None:
    global _registry_lock
    _registry.clear()
    _forgotten.clear()
    _registry_lock = threading.Lock()


atexit.register(_close_all)
forks.call_in_child(_start_again)
