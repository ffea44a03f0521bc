"""A memory of bounded size keeps what was used last."""

from __future__ import annotations

from agentspark.recent import Recent


def test_what_was_unused_for_longest_goes() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (1, None, 3)
    memory.put("a", 4)
    memory.put("d", 5)
    assert (memory.get("a"), memory.get("c"), memory.get("d")) == (4, None, 5)
    assert len(memory) == 2


def test_what_is_forgotten_makes_room() -> None:
    memory: Recent[str, int] = Recent(2)
    memory.put("a", 1)
    memory.put("b", 2)
    memory.forget("b")
    memory.forget("never there")
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (1, None, 3)
