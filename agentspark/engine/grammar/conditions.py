"""Conditions in JSON schemas, said as alternatives, which is what the grammar knows.

Nothing is left out and nothing forbidden: the same values validate, in any order of their parts. A
condition that takes many alternatives, or is about values that are not listed, stays as it is.
Everything here changes a schema in place; ``resolve`` gives what a bare reference names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeGuard

# What tells readers something, and forbids nothing.
NOTES = frozenset(("title", "description", "default", "examples", "$comment", "deprecated"))
_IF = frozenset(("if", "then", "else"))
_LIST = frozenset(("type", "items", "minItems", "maxItems", "uniqueItems"))
_NAMED = frozenset(("$defs", "definitions", "$schema", "$id"))
_KINDS: dict[str, type] = {
    "string": str, "boolean": bool, "integer": int, "number": int, "null": type(None),
}  # fmt: skip
_MOST_NAMES, _MOST_LISTS = 4, 400

Schema = Mapping[str, Any]
Resolve = Callable[[Schema], Schema]
# A property, its values of which a condition is true, and whether it is false without it.
Asked = tuple[str, list[object], bool]


def list_sets(schema: dict[str, Any], resolve: Resolve) -> None:
    """List all arrays of ``uniqueItems``, where there are few."""
    if schema.get("uniqueItems") is not True or schema.get("type") != "array":
        return
    least, most, items = schema.get("minItems", 0), schema.get("maxItems"), schema.get("items")
    if _is_count(most) and most <= 1:
        del schema["uniqueItems"]
        return
    values = _values(resolve(items)) if isinstance(items, Mapping) else None
    if values is None or not schema.keys() <= _LIST | NOTES | _NAMED:
        return
    if not _is_count(least) or not (most is None or _is_count(most)):
        return
    sizes = range(least, min(len(values), len(values) if most is None else most) + 1)
    arrays = itertools.chain.from_iterable(itertools.permutations(values, n) for n in sizes)
    told = [list(one) for one in itertools.islice(arrays, _MOST_LISTS + 1)]
    if 0 < len(told) <= _MOST_LISTS:
        for key in _LIST & schema.keys():
            del schema[key]
        schema["enum"] = told


def list_needs(schema: dict[str, Any]) -> None:
    """Say of properties that need others (``dependentRequired``) whether they are there."""
    for key in ("dependentRequired", "dependencies"):
        needs = schema.get(key)
        if "anyOf" in schema or not isinstance(needs, Mapping) or len(needs) > _MOST_NAMES:
            continue
        if not all(isinstance(names, list) for names in needs.values()):
            continue
        del schema[key]
        present = itertools.product((False, True), repeat=len(needs))
        schema["anyOf"] = [
            _together(
                {"required": [name, *names]} if there else {"properties": {name: False}}
                for (name, names), there in zip(needs.items(), chosen, strict=True)
            )
            for chosen in present
        ]


def list_cases(schema: dict[str, Any], resolve: Resolve) -> None:
    """Say for all values of a property what follows of them (``if``, ``then``, ``else``).

    All conditions of an object, its own and those in its ``allOf``, must be about one property.
    """
    several = schema.get("allOf")
    others = several if isinstance(several, list) else []
    told = [one for one in (schema, *others) if isinstance(one, Mapping) and "if" in one]
    asked = [_asked(one["if"]) for one in told]
    if not told or "anyOf" in schema or schema.get("type") != "object":
        return
    if not all(one is schema or one.keys() <= _IF | NOTES for one in told):
        return
    known = [one for one in asked if one is not None]
    names = {name for name, _, _ in known}
    parts = schema.get("properties")
    if len(known) < len(told) or len(names) > 1 or not isinstance(parts, Mapping):
        return
    (name,) = names
    values = _values(resolve(parts[name])) if isinstance(parts.get(name), Mapping) else None
    if values is None:
        return
    cases: dict[tuple[bool, ...], list[object]] = {}
    for value in values:
        cases.setdefault(tuple(_among(value, true) for _, true, _ in known), []).append(value)
    ways = [(flags, {"enum": some}) for flags, some in cases.items()]
    branches = [
        _together(({"properties": {name: part}, "required": [name]}, *_follows(told, flags)))
        for flags, part in ways
    ]
    if name not in (schema.get("required") or ()):
        flags = tuple(not needed for _, _, needed in known)
        branches.append(_together(({"properties": {name: False}}, *_follows(told, flags))))
    for key in _IF & schema.keys():
        del schema[key]
    if others:
        schema["allOf"] = [one for one in others if not any(one is other for other in told)]
        if not schema["allOf"]:
            del schema["allOf"]
    schema["anyOf"] = branches


def _follows(told: Sequence[Schema], flags: Iterable[bool]) -> list[Any]:
    return [
        one.get("then" if true else "else", True) for one, true in zip(told, flags, strict=True)
    ]


def _together(schemas: Iterable[Any]) -> Any:
    """One schema of those that all have to hold: merged where each speaks of other properties."""
    parts = [one for one in schemas if one is not True and one != {}]
    if False in [one for one in parts if isinstance(one, bool)]:
        return False
    merged: dict[str, Any] = {}
    for part in parts:
        told = {key: value for key, value in part.items() if key not in NOTES}
        own, needed = told.pop("properties", {}), told.pop("required", [])
        listed = merged.get("properties", {})
        clear = told in ({}, {"type": "object"}) and isinstance(own, Mapping)
        if not clear or not isinstance(needed, list) or listed.keys() & own.keys():
            return {"allOf": parts}
        if own:
            merged["properties"] = {**listed, **own}
        if needed:
            merged["required"] = list(dict.fromkeys([*merged.get("required", []), *needed]))
    return merged


def _asked(condition: object) -> Asked | None:
    """What an ``if`` asks; ``None`` where it is not whether one property has certain values."""
    if not isinstance(condition, Mapping):
        return None
    told = {key: value for key, value in condition.items() if key not in NOTES}
    parts, needed = told.pop("properties", None), told.pop("required", [])
    if told not in ({}, {"type": "object"}) or not isinstance(parts, Mapping) or len(parts) != 1:
        return None
    ((name, part),) = parts.items()
    values = _values(part) if isinstance(part, Mapping) else None
    return None if values is None or needed not in ([], [name]) else (name, values, bool(needed))


def _values(schema: Schema) -> list[object] | None:
    """All values there may be, each once; ``None`` where they are not listed or have parts."""
    told = {key: value for key, value in schema.items() if key not in NOTES}
    kinds = told.pop("type", None)
    if kinds == "boolean" and not told:
        return [True, False]
    listed = [told["const"]] if told.keys() == {"const"} else told.get("enum")
    if told.keys() not in ({"const"}, {"enum"}) or not isinstance(listed, list):
        return None
    # 1.0 is 1, and would have to be written as both.
    if not all(isinstance(one, str | bool | int | None) for one in listed):
        return None
    known = [kinds] if isinstance(kinds, str) else kinds
    if not (known is None or (isinstance(known, list) and all(one in _KINDS for one in known))):
        return None
    found: list[object] = []
    for value in listed:
        fits = known is None or any(type(value) is _KINDS[kind] for kind in known)
        if fits and not _among(value, found):
            found.append(value)
    return found


def _among(value: object, values: Iterable[object]) -> bool:
    """Whether ``value`` is one of ``values`` in JSON, where ``true`` is not 1."""
    return any(type(value) is type(other) and value == other for other in values)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
