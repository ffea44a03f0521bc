"""JSON schemas whose objects take no properties but those they list, where that is all there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

# Keywords whose value is a schema, a list of schemas, or a mapping of names to schemas, each for a
# value of its own: a part of the object or list, or a definition.
ONE = ("items", "additionalItems", "additionalProperties")
LISTS = ("items", "prefixItems")
_PARTS = ("properties", "patternProperties")
NAMED = (*_PARTS, "$defs", "definitions")
# Keywords whose value is a list of schemas for the very same value.
BRANCHES = ("allOf", "anyOf", "oneOf")
# What applies other schemas to the same value.
_APPLYING = frozenset((
    *BRANCHES, "$ref", "$dynamicRef", "$recursiveRef", "not", "if", "dependentSchemas",
    "dependencies",
))  # fmt: skip
# What has a say in which parts a value has: an object of which several schemas speak cannot be
# closed in any of them.
_SPEAKING = _APPLYING | {
    "properties", "patternProperties", "additionalProperties", "unevaluatedProperties",
    "propertyNames", "required", "minProperties", "dependentRequired", "items", "prefixItems",
    "additionalItems",
}  # fmt: skip
# Beside these, ``properties`` may be closed; branches only where they name no others.
_HARMLESS = frozenset(
    ("properties", "required", "minProperties", "items", "prefixItems", "anyOf", "oneOf")
)
# A reference beside other keywords opens what it names; that may hold one that opens more. After
# so many rounds of this all is left open.
_ROUNDS = 8

Path = tuple[str, ...]


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which objects with listed properties take no others unless the schema says so.

    An object that is put together of several schemas (``allOf``, ``$ref`` or ``anyOf`` beside
    other keywords) stays open in each of them, with its parts: closed, one would forbid what
    another one lists.
    Whatever validates against the copy validates against ``schema``.
    """
    shared: set[Path] = set()
    for _ in range(_ROUNDS):
        walk = _Walk(shared)
        copy: dict[str, Any] = walk.copy(schema, (), combined=False)
        if None in walk.combined:
            break
        if walk.combined <= shared:
            return copy
        shared |= {path for path in walk.combined if path is not None}
    return dict(schema)


class _Walk:
    """One way through a schema; what ``shared`` paths lead to is used beside other schemas."""

    def __init__(self, shared: set[Path]) -> None:
        self._shared = shared
        self.combined: set[Path | None] = set()
        """What references beside other keywords name; ``None`` for what is no path."""

    def copy(self, schema: Any, path: Path, *, combined: bool) -> Any:
        """``schema``, closed; ``combined`` if others speak of the same value."""
        if not isinstance(schema, Mapping):
            return schema
        combined = combined or path in self._shared
        speaking = _SPEAKING & schema.keys()
        if "$ref" in schema and (combined or len(speaking) > 1):
            self.combined.add(target(schema["$ref"]))
        copy = dict(schema)
        own = combined or _parts_shared(schema, speaking)
        for key in ONE:
            if isinstance(copy.get(key), Mapping):
                copy[key] = self.copy(copy[key], (*path, key), combined=own)
        for key in NAMED:
            if isinstance(copy.get(key), Mapping):
                copy[key] = {
                    name: self.copy(value, (*path, key, str(name)), combined=own and key in _PARTS)
                    for name, value in copy[key].items()
                }
        for key in (*LISTS, *BRANCHES):
            if isinstance(copy.get(key), list | tuple):
                several = len(speaking) > 1 or (key == "allOf" and len(copy[key]) > 1)
                beside = combined or several if key in BRANCHES else own
                copy[key] = [
                    self.copy(item, (*path, key, str(at)), combined=beside)
                    for at, item in enumerate(copy[key])
                ]
        if not combined and _may_close(schema, speaking):
            copy["additionalProperties"] = False
        return copy


def _parts_shared(schema: Mapping[str, Any], speaking: frozenset[str]) -> bool:
    """Whether something beside the parts that ``schema`` lists may speak of these parts as well."""
    if speaking >= {"properties", "patternProperties"}:
        return True
    if not speaking & _APPLYING <= {"anyOf", "oneOf"}:
        return True
    return any(not _SPEAKING & part.keys() <= {"required"} for part in _branches(schema))


def _may_close(schema: Mapping[str, Any], speaking: frozenset[str]) -> bool:
    """Whether all properties that anything says an object must or may have are its own."""
    own = schema.get("properties")
    least = schema.get("minProperties", 0)
    if not isinstance(own, Mapping) or not speaking <= _HARMLESS:
        return False
    if not isinstance(least, int) or least > len(own):
        return False
    return all(
        _SPEAKING & part.keys() <= {"properties", "required"} and _names(part) <= own.keys()
        for part in ({"required": schema.get("required")}, *_branches(schema))
    )


def _branches(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("anyOf", "oneOf"):
        branches = schema.get(key)
        for branch in branches if isinstance(branches, list | tuple) else ():
            if isinstance(branch, Mapping):
                yield branch


def _names(part: Mapping[str, Any]) -> set[Any]:
    listed, required = part.get("properties"), part.get("required")
    names = set(listed) if isinstance(listed, Mapping) else set()
    if isinstance(required, list | tuple):
        names |= {name for name in required if isinstance(name, str)}
    return names


def target(reference: object) -> Path | None:
    """The path that a reference inside the document spells; ``None`` for any other."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    parts = unquote(reference).split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)
