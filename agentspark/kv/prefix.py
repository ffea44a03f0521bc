"""The prefix tree: a radix tree over whole blocks of token ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentspark.common import common_prefix
from agentspark.errors import KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixMatch
from agentspark.kv.integrity import check_tree
from agentspark.kv.node import Node, parent_of, path_from


@dataclass(slots=True, eq=False)
class _Hold:
    """What a match remembers: where it ended, and how often it is locked."""

    owner: PrefixTree
    node: Node | None
    locks: int = 0


class PrefixTree:
    """The engine's ``PrefixCache``; see there for the contract and for who holds which reference.

    One root per salt. Children are told apart by their whole first block, so siblings may begin
    with the same tokens inside it.

    Eviction order. ``_idle`` lists every unlocked node from the least to the most recently used,
    children before parents within one use. A use moves a whole path to the end, and a lock covers
    a whole path, so what hangs below an idle node is idle and stands before it: going through
    ``_idle`` from its start meets every leaf before its parents, and the next to evict is found in
    O(1), apart from nodes passed over because a running request holds their blocks.
    """

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._size = pool.block_tokens
        self._roots: dict[str | None, Node] = {}
        self._idle: OrderedDict[Node, None] = OrderedDict()
        self._clock = 0
        self._cached = 0
        self._locked = 0

    @property
    def cached_blocks(self) -> int:
        """Blocks the cache holds a reference to."""
        return self._cached

    @property
    def evictable_blocks(self) -> int:
        """Cached blocks that no lock protects."""
        return self._cached - self._locked

    def match(self, tokens: Sequence[int], *, salt: str | None = None) -> PrefixMatch:
        """The longest cached prefix of ``tokens`` in whole blocks; may be empty."""
        node = self._descend(list(tokens), salt)
        if node is None or node.parent is None:
            return PrefixMatch(0, (), _Hold(self, None))
        path = reversed(path_from(node))
        blocks = tuple(block for part in path for block in part.blocks)
        return PrefixMatch(node.end, blocks, _Hold(self, node))

    def lock(self, match: PrefixMatch) -> None:
        """Protect the match from eviction; the caller gains a reference to each of its blocks."""
        hold = self._hold(match)
        node = hold.node
        if node is not None and node.end != match.tokens:
            raise KVIntegrityError(
                f"A match of {match.tokens} tokens was locked after part of it was evicted: "
                "lock a match before anything is evicted, or match again."
            )
        self._pool.retain(match.blocks)  # held by this lock until `unlock`
        hold.locks += 1
        if node is None:
            return
        for part in path_from(node):
            if part.locks == 0:
                del self._idle[part]
                self._locked += len(part.blocks)
            part.locks += 1

    def unlock(self, match: PrefixMatch) -> None:
        """End one lock: drop its references; the path becomes the most recently used."""
        hold = self._hold(match)
        if hold.locks == 0:
            raise KVIntegrityError(f"A match of {match.tokens} tokens was unlocked but not locked.")
        hold.locks -= 1
        if hold.node is not None:
            for part in path_from(hold.node):
                part.locks -= 1
                if part.locks == 0:
                    self._locked -= len(part.blocks)
            self._use(hold.node)
        self._pool.release(match.blocks)  # held by this lock since `lock`

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[int], *, salt: str | None = None
    ) -> int:
        """Cache the whole blocks of ``tokens``; return how many tokens are newly cached."""
        count = len(tokens) // self._size
        if len(blocks) < count:
            raise KVIntegrityError(
                f"{len(tokens)} tokens were inserted with {len(blocks)} blocks: {count} are needed."
            )
        if count == 0:
            return 0
        ids = list(tokens[: count * self._size])
        node = self._descend(ids, salt)
        known = node.end if node is not None else 0
        if known < len(ids):
            fresh = list(blocks[known // self._size : count])
            self._pool.retain(fresh)  # held by the tree until `_drop`
            parent = node or self._roots.setdefault(salt, Node(None, [], [], 0, salt))
            node = Node(parent, ids[known:], fresh, len(ids), salt)
            parent.children[self._key(node.tokens)] = node
            self._cached += len(fresh)
            self._use(node)
        return len(ids) - known

    def evict(self, count: int) -> int:
        """Drop the least recently used unlocked blocks until ``count`` became free."""
        freed = 0
        kept = []
        while freed < count and self._idle:
            node, _ = self._idle.popitem(last=False)
            freed += self._drop(node, self._droppable(node, count - freed))
            if node.blocks:
                kept.append(node)
        for node in reversed(kept):
            self._idle[node] = None
            self._idle.move_to_end(node, last=False)
        return freed

    def clear(self) -> int:
        """Drop every unlocked block; return how many became free. Locked paths stay."""
        freed = 0
        while self._idle:
            leaf, _ = self._idle.popitem(last=False)
            freed += self._drop(leaf, len(leaf.blocks))
        return freed

    def divergence(self, tokens: Sequence[int], *, salt: str | None = None) -> int:
        """The first position at which ``tokens`` part from everything cached under ``salt``."""
        node = self._roots.get(salt)
        if node is None:
            return 0
        ids = list(tokens)
        while (child := node.children.get(self._key(ids, node.end))) is not None:
            common = common_prefix(child.tokens, ids, node.end)
            if common < len(child.tokens):
                return node.end + common
            node = child
        # No child shares the next whole block: the longest common part is inside one.
        tails = (common_prefix(child.tokens, ids, node.end) for child in node.children.values())
        return node.end + max(tails, default=0)

    def check_integrity(self, outstanding: Mapping[int, int] | None = None) -> None:
        """Raise ``KVIntegrityError`` if the tree contradicts itself or the pool."""
        check_tree(self, outstanding)

    def _descend(self, ids: list[int], salt: str | None) -> Node | None:
        """Use the cached whole-block prefix of ``ids``; the node at its end, split off if need be.

        The root if nothing matches, ``None`` if there is no root.
        """
        node = self._roots.get(salt)
        while node is not None:
            child = node.children.get(self._key(ids, node.end))
            if child is None:
                break
            common = common_prefix(child.tokens, ids, node.end)
            if common < len(child.tokens):
                node = self._split(child, common // self._size)
                break
            node = child
        if node is not None:
            self._use(node)
        return node

    def _split(self, node: Node, blocks: int) -> Node:
        """Cut ``node`` after ``blocks`` blocks; the caller then uses the new upper part."""
        cut = blocks * self._size
        parent = parent_of(node)
        upper = Node(
            parent,
            node.tokens[:cut],
            node.blocks[:blocks],
            parent.end + cut,
            node.salt,
            node.locks,
            node.last_used,
        )
        parent.children[self._key(upper.tokens)] = upper
        del node.tokens[:cut]
        del node.blocks[:blocks]
        node.parent = upper
        upper.children[self._key(node.tokens)] = node
        return upper

    def _droppable(self, node: Node, limit: int) -> int:
        """How many blocks at the end of ``node``, up to ``limit``, only the tree holds."""
        if node.children:
            return 0
        count = 0
        for block in reversed(node.blocks):
            if count == limit or self._pool.references(block) > 1:
                break
            count += 1
        return count

    def _drop(self, leaf: Node, count: int) -> int:
        """Drop the last ``count`` blocks of a leaf; return how many became free."""
        if count == 0:
            return 0
        dropped = leaf.blocks[-count:]
        key = self._key(leaf.tokens)
        del leaf.blocks[-count:]
        del leaf.tokens[-count * self._size :]
        leaf.end -= count * self._size
        self._cached -= count
        if not leaf.blocks:
            parent = parent_of(leaf)
            del parent.children[key]
            if parent.parent is None and not parent.children:
                del self._roots[parent.salt]
        return self._pool.release(dropped)  # held by the tree since `insert`

    def _use(self, node: Node) -> None:
        """Make the path to ``node`` the most recently used, ``node`` before its parents."""
        self._clock += 1
        for part in path_from(node):
            part.last_used = self._clock
            if part.locks == 0:
                self._idle[part] = None
                self._idle.move_to_end(part)

    def _hold(self, match: PrefixMatch) -> _Hold:
        if not isinstance(match.handle, _Hold) or match.handle.owner is not self:
            raise KVIntegrityError("A match was given to a prefix cache that did not make it.")
        return match.handle

    def _key(self, ids: list[int], start: int = 0) -> tuple[int, ...]:
        return tuple(ids[start : start + self._size])
