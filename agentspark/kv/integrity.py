"""The invariants of the prefix tree, checked node by node (for tests and for finding a bug)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from agentspark.errors import KVIntegrityError
from agentspark.kv.blocks import BlockPool

if TYPE_CHECKING:
    from agentspark.kv.node import Node
    from agentspark.kv.prefix import PrefixTree


def check_references(
    pool: BlockPool,
    held: Mapping[int, int],
    outstanding: Mapping[int, int] | None,
) -> None:
    """Compare the pool's counts with those a cache ``held`` (locks included) and callers hold."""
    if outstanding is None:
        for block, count in held.items():
            if pool.references(block) < count:
                _fail(f"block {block} has {pool.references(block)} references, {count} are held")
        return
    for block in range(pool.num_blocks):
        expected = held.get(block, 0) + outstanding.get(block, 0)
        if pool.references(block) != expected:
            _fail(f"block {block} has {pool.references(block)} references instead of {expected}")


def check_tree(tree: PrefixTree, outstanding: Mapping[int, int] | None) -> None:
    """Raise ``KVIntegrityError`` at the first broken invariant of ``tree``; O(cached tokens)."""
    held: Counter[int] = Counter()
    idle: set[Node] = set()
    cached = locked = 0
    for node in _nodes(tree):
        _check_node(node, tree._size)
        cached += len(node.blocks)
        for block in node.blocks:
            if block in held:
                _fail(f"block {block} is cached twice")
            held[block] = 1 + node.locks
        if node.locks:
            locked += len(node.blocks)
        else:
            idle.add(node)
    if (cached, locked) != (tree._cached, tree._locked):
        _fail(f"{cached} blocks are cached and {locked} locked, not {tree._cached}, {tree._locked}")
    _check_order(tree, idle)
    check_references(tree._pool, held, outstanding)
    tree._pool.check_integrity()


def _nodes(tree: PrefixTree) -> Iterator[Node]:
    """Every node but the roots, whose own invariants are checked on the way."""
    stack: list[Node] = []
    for salt, root in tree._roots.items():
        if root.parent is not None or root.end or root.blocks or root.salt != salt:
            _fail(f"the root of salt {salt!r} is not a root")
        if not root.children:
            _fail(f"the root of salt {salt!r} is kept without children")
        stack.append(root)
    while stack:
        node = stack.pop()
        for key, child in node.children.items():
            if child.parent is not node or tuple(child.tokens[: tree._size]) != key:
                _fail(f"the node ending at {child.end} hangs in the wrong place")
            if child.end != node.end + len(child.tokens) or child.salt != node.salt:
                _fail(f"the node ending at {child.end} does not continue its parent")
            stack.append(child)
            yield child


def _check_node(node: Node, size: int) -> None:
    if not node.blocks or len(node.tokens) != size * len(node.blocks):
        _fail(f"the node ending at {node.end} is empty or not made of whole blocks")
    if node.locks < max((child.locks for child in node.children.values()), default=0):
        _fail(f"the node ending at {node.end} is locked less often than a child")
    if any(child.last_used > node.last_used for child in node.children.values()):
        _fail(f"the node ending at {node.end} was used before a child of it was")


def _check_order(tree: PrefixTree, idle: set[Node]) -> None:
    if set(tree._idle) != idle:
        _fail("the idle list does not hold exactly the unlocked nodes")
    clock = 0
    seen: set[Node] = set()
    for node in tree._idle:
        if node.last_used < clock:
            _fail("the idle list is not in the order of use")
        if any(child not in seen for child in node.children.values()):
            _fail(f"the node ending at {node.end} is idle before a child of it")
        clock = node.last_used
        seen.add(node)


def _fail(what: str) -> None:
    raise KVIntegrityError(f"KV bookkeeping is broken: {what}. Please report this.")
