"""Nodes of the prefix tree."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentspark.errors import KVIntegrityError


@dataclass(slots=True, eq=False)
class Node:
    """An edge of the tree and its lower end. ``end`` counts the tokens from the root to there.

    ``end`` never grows (longer sequences become children; eviction lowers it, down to the parent's
    in a node that is dropped) and a split keeps this object as the lower part. So a match is whole
    as long as the node it remembers ends where it did.
    """

    parent: Node | None = field(repr=False)
    tokens: list[int]
    blocks: list[int]
    end: int
    salt: str | None
    locks: int = 0
    last_used: int = 0
    children: dict[tuple[int, ...], Node] = field(default_factory=dict, repr=False)


def parent_of(node: Node) -> Node:
    """The parent of a node that is not a root."""
    if node.parent is None:
        raise KVIntegrityError("The root of a prefix tree was taken for a cached prefix.")
    return node.parent


def path_from(node: Node) -> list[Node]:
    """The nodes from ``node`` up to the root, the root left out."""
    path = []
    while node.parent is not None:
        path.append(node)
        node = node.parent
    return path
