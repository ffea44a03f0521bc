r"""Short texts that match a pattern: how free text that has to have a certain end can have it.

``\.pdf$`` allows any text until it is closed, and nothing in the grammar says which letters come
nearer to that. A text that matches does: it or an end of it. Python's own parser reads the
patterns; one that it cannot read, or reads in another way than the grammar, has no such text or
one that is not allowed, and a way out is then looked for without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from re import _constants as ops
from re import _parser as parser
from typing import Any

# Characters of a text, and how many ends of all texts together: each is tried at many places.
_LONGEST, _MOST = 48, 128
# What may stand for a character that a pattern leaves open.
_USUAL = "a0 -_.A"
_SPELLED = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
}


class _NoTextError(Exception):
    """A pattern for which no short text is known."""


def endings(schemas: Sequence[str], pattern: str = "") -> list[str]:
    """Ends of texts that match the patterns in ``schemas`` (JSON) and ``pattern``.

    Short ones come first; those of schemas are as JSON writes them.
    """
    found: dict[str, None] = {}
    texts = [json.dumps(matching(p))[1:-1] for text in schemas for p in _patterns(json.loads(text))]
    for text in (*texts, matching(pattern)):
        found |= dict.fromkeys(text[at:] for at in range(len(text) - 1, -1, -1))
    return sorted(found, key=len)[:_MOST]


def matching(pattern: str) -> str:
    """A short text in which ``pattern`` is found; empty for none that is known."""
    try:
        text = _text(parser.parse(pattern))
        return text if re.search(pattern, text) else ""
    except (re.error, _NoTextError, RecursionError, OverflowError):
        return ""


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _patterns(item)
    elif isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), Mapping):
            yield from schema["patternProperties"]
        for value in schema.values():
            yield from _patterns(value)


def _text(items: Any) -> str:
    text = ""
    for kind, value in items:
        text += _of_one(kind, value)
        if len(text) > _LONGEST:
            raise _NoTextError
    return text


def _of_one(kind: Any, value: Any) -> str:
    if kind is ops.LITERAL:
        return chr(value)
    if kind in (ops.NOT_LITERAL, ops.ANY):
        return next(usual for usual in _USUAL if ord(usual) != value)
    if kind is ops.IN:
        return _of_class(value)
    if kind in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        least, _, items = value
        return _repeated(items, int(least))
    if kind is ops.SUBPATTERN:
        return _text(value[-1])
    if kind is ops.ATOMIC_GROUP:
        return _text(value)
    if kind is ops.BRANCH:
        return min(map(_text, value[1]), key=len)
    if kind is ops.AT:
        return ""
    raise _NoTextError


def _repeated(items: Any, least: int) -> str:
    if least == 0:
        return ""
    if least > _LONGEST:
        raise _NoTextError
    return _text(items) * least


def _of_class(members: Sequence[tuple[Any, Any]]) -> str:
    if members[0][0] is ops.NEGATE:
        taken = members[1:]
        for usual in _USUAL:
            if not any(_holds(kind, value, usual) for kind, value in taken):
                return usual
        raise _NoTextError
    kind, value = members[0]
    if kind is ops.CATEGORY:
        return next(usual for usual in _USUAL if _holds(kind, value, usual))
    return chr(value[0] if kind is ops.RANGE else value)


def _holds(kind: Any, value: Any, character: str) -> bool:
    if kind is ops.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if kind is ops.CATEGORY:
        return re.match(_SPELLED[value], character) is not None
    return bool(ord(character) == value)
