"""A memory of bounded size: what was used last stays, what was unused for longest goes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """At most ``limit`` values by their keys. Not thread-safe; the owner locks."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        """How many values there are."""
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The key's value, which counts as a use; ``None`` where there is none (any more)."""
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Set the key's value, and forget the one that was unused for longest over the limit."""
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)

    def forget(self, key: Key) -> None:
        """Drop the key's value, if there is one."""
        self._values.pop(key, None)
