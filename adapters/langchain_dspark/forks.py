"""What a forked child must not share with its parent: held things start again in it, empty.

A child has a copy of everything but the threads: locks that nobody will release, engines without
the thread that runs them, and sockets on which its parent's answers arrive.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

Holder = TypeVar("Holder")

# By identity: equal holders are not the same.
_restarts: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_how: dict[type, Callable[[Any], object]] = {}
# What the parent held when it forked. Never freed: freeing would close it, and an event loop's
# sockets are taken off the parent's own watch when a child closes them.
_inherited: list[dict[str, Any]] = []


def restart_in_child(holder: Holder, restart: Callable[[Holder], object]) -> None:
    """Call ``restart`` (the same for all of a class) with ``holder`` in every forked child."""
    _how[type(holder)] = restart
    _restarts[id(holder)] = holder


def call_in_child(call: Callable[[], object]) -> None:
    """Call ``call`` in every forked child, where this system forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=call)


def _restart_all() -> None:
    for holder in list(_restarts.values()):
        _inherited.append(dict(vars(holder)))
        _how[type(holder)](holder)


call_in_child(_restart_all)
