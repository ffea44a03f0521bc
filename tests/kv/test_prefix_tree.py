"""What is the radix tree's own: its shape, its upkeep, and that its integrity check can fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentspark.errors import KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.node import Node
from agentspark.kv.prefix import PrefixTree

Serve = Callable[..., list[int]]
Damage = Callable[[PrefixTree, Node], object]
A = list(range(100, 116))
B = [*A[:8], *range(200, 208)]


def only_child(node: Node) -> Node:
    (child,) = node.children.values()
    return child


def test_nodes_split_where_branches_part(serve: Serve) -> None:
    tree = PrefixTree(pool := BlockPool(32, 4))
    serve(pool, tree, A)
    serve(pool, tree, B)
    upper = only_child(tree._roots[None])
    assert upper.end == 8
    assert sorted(child.end for child in upper.children.values()) == [16, 16]


def test_a_long_sequence_is_one_node_for_each_insert(serve: Serve) -> None:
    tree = PrefixTree(pool := BlockPool(256, 4))
    tokens = list(range(400))
    for end in range(40, 401, 40):
        serve(pool, tree, tokens[:end])
    assert len(tree._idle) == 10
    assert repr(tree._idle).count("Node(") == 10  # a node's text does not contain its relatives
    assert tree.match(tokens).tokens == 400


def test_no_root_is_kept_for_a_salt_without_entries(serve: Serve) -> None:
    tree = PrefixTree(pool := BlockPool(8, 4))
    for tenant in range(50):
        tree.match(A, salt=f"visitor {tenant}")
        serve(pool, tree, A, salt=f"tenant {tenant}")
        assert len(tree._roots) <= 2
    tree.clear()
    assert not tree._roots and not tree._idle


def test_a_failed_insert_leaves_no_root() -> None:
    tree = PrefixTree(BlockPool(8, 4))
    with pytest.raises(KVIntegrityError):
        tree.insert(A, [0, 1, 2, 3], salt="new")
    assert not tree._roots
    tree.check_integrity({})


def test_any_sequence_of_integers_is_taken() -> None:
    tree = PrefixTree(pool := BlockPool(8, 4))
    tree.insert(tuple(A), tuple(pool.allocate(4)))
    assert tree.match(tuple(A)).tokens == tree.match(range(100, 116)).tokens == 16
    assert tree.divergence(range(100, 110)) == 10


def test_what_is_cached_does_not_follow_the_callers_lists() -> None:
    tree = PrefixTree(pool := BlockPool(8, 4))
    tokens, blocks = list(A), pool.allocate(4)
    expected = tuple(blocks)
    tree.insert(tokens, blocks)
    tokens[0] = 0
    blocks[0] = 7
    assert tree.match(A).blocks == expected
    tree.check_integrity({block: 1 for block in expected})


@pytest.mark.parametrize(
    "damage",
    [
        lambda tree, node: setattr(node, "end", node.end + 4),
        lambda tree, node: setattr(node, "salt", "other"),
        lambda tree, node: setattr(node, "parent", tree._roots[None]),
        lambda tree, node: node.tokens.append(0),
        lambda tree, node: node.tokens.__setitem__(0, 0),
        lambda tree, node: node.blocks.__setitem__(0, node.blocks[1]),
        lambda tree, node: node.blocks.clear(),
        lambda tree, node: setattr(node, "locks", 2),
        lambda tree, node: setattr(node, "locks", 0),
        lambda tree, node: setattr(node, "last_used", 99),
        lambda tree, node: tree._idle.update({node: None}),
        lambda tree, node: tree._idle.popitem(),
        lambda tree, node: tree._idle.move_to_end(next(iter(tree._idle))),
        lambda tree, node: setattr(next(reversed(tree._idle)), "last_used", 0),
        lambda tree, node: setattr(tree, "_cached", 1),
        lambda tree, node: setattr(tree, "_locked", 1),
        lambda tree, node: tree._roots.update({"empty": Node(None, [], [], 0, "empty")}),
        lambda tree, node: tree._roots.update({"wrong": tree._roots[None]}),
        lambda tree, node: tree._pool.retain(node.blocks),
        lambda tree, node: tree._pool.allocate(1),
        lambda tree, node: setattr(tree._pool, "_free", 0),
    ],
)
def test_check_integrity_finds_damage(serve: Serve, damage: Damage) -> None:
    tree = PrefixTree(pool := BlockPool(32, 4))
    serve(pool, tree, A)
    serve(pool, tree, [*A, *range(50, 58)])
    serve(pool, tree, B)
    match = tree.match(A)
    tree.lock(match)
    tree.check_integrity({})
    node = only_child(tree._roots[None]).children[tuple(A[8:12])]
    assert (node.locks, len(node.blocks)) == (1, 2)
    damage(tree, node)
    with pytest.raises(KVIntegrityError):
        tree.check_integrity({})
