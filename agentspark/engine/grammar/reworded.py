"""JSON schemas in words that the grammar knows, meaning the same or less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentspark.engine.grammar.closed import BRANCHES, LISTS, NAMED, ONE, target
from agentspark.engine.grammar.conditions import NOTES, list_cases, list_needs, list_sets

# The formats that JSON Schema defines. Any other is a note: validators know none by that name.
_FORMATS = frozenset((
    "date-time", "time", "date", "duration", "email", "idn-email", "hostname", "idn-hostname",
    "ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uuid", "uri-template",
    "json-pointer", "relative-json-pointer", "regex",
))  # fmt: skip
# Values with which a keyword forbids nothing.
_NOTHING: dict[str, tuple[object, ...]] = {
    "propertyNames": (True, {}, {"type": "string"}),
    "uniqueItems": (False,),
    "not": (False,),
    "dependentRequired": ({},),
    "dependentSchemas": ({},),
    "unevaluatedProperties": (True, {}),
    "unevaluatedItems": (True, {}),
}
_PARTS = frozenset(("properties", "patternProperties"))

Schema = Mapping[str, Any]


def reworded(schema: Schema) -> dict[str, Any]:
    """A copy without keywords that say nothing, and with ``anyOf`` for others where it can be.

    Conditions become alternatives (``conditions.py``). Branches of ``oneOf`` of which no two can
    hold at once need no counting. Where an object could fit two, each of them forbids a property
    that the other one requires. Whatever validates against the copy validates against ``schema``.
    """
    copy = _Rewording(schema).copy(schema)
    return {"type": []} if copy is False else dict(copy)


class _Rewording:
    """One way through a schema, the ``root`` of its references."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def copy(self, schema: Any) -> Any:
        """``schema`` reworded; what is no mapping as it is."""
        if not isinstance(schema, Mapping):
            return schema
        copy = {key: value for key, value in schema.items() if not _says_nothing(key, schema)}
        if copy.get("not") == {} or copy.get("not") is True:
            return False  # so zod writes what is never there
        for key in (*ONE, "then", "else"):
            if key in copy:
                copy[key] = self.copy(copy[key])
        for key in NAMED:
            if isinstance(copy.get(key), Mapping):
                copy[key] = {name: self.copy(value) for name, value in copy[key].items()}
        for key in (*LISTS, *BRANCHES):
            if isinstance(copy.get(key), list | tuple):
                copy[key] = [self.copy(value) for value in copy[key]]
        self._list_names(copy)
        list_sets(copy, self._resolved)
        list_cases(copy, self._resolved)
        list_needs(copy)
        branches = self._apart(copy)
        if branches is not None and "anyOf" not in copy:
            del copy["oneOf"]
            copy["anyOf"] = branches
        return copy

    def _list_names(self, schema: dict[str, Any]) -> None:
        """Put the names of a mapping whose keys are listed or short (``propertyNames``) elsewhere.

        So Pydantic writes ``dict[Literal["a", "b"], int]``.
        """
        told, value = schema.get("propertyNames"), schema.get("additionalProperties")
        if value is None or not isinstance(told, Mapping) or schema.keys() & _PARTS:
            return
        names = {key: it for key, it in self._resolved(told).items() if key not in NOTES}
        if names.pop("type", "string") != "string":
            return
        listed = _values(names)
        if listed is not None and len(names) == 1 and all(isinstance(one, str) for one in listed):
            schema["properties"] = dict.fromkeys(listed, value)
        elif names and names.keys() <= {"minLength", "maxLength"}:
            least, most = names.get("minLength", 0), names.get("maxLength", "")
            schema["patternProperties"] = {f"^.{{{least},{most}}}$": value}
        else:
            return
        del schema["propertyNames"]
        schema["additionalProperties"] = False

    def _apart(self, schema: Schema) -> list[Schema] | None:
        """The branches of ``oneOf`` such that no value fits two; ``None`` if that is not seen."""
        branches = schema.get("oneOf")
        if not isinstance(branches, list) or not all(isinstance(one, Mapping) for one in branches):
            return None
        told = [self._resolved(branch) for branch in branches]
        always = _required(schema)
        kinds = [{"type": schema["type"], **one} if "type" in schema else one for one in told]
        apart: list[Schema] = []
        for at, branch in enumerate(branches):
            forbidden: dict[str, bool] = {}
            own = [*always, *_required(told[at])]
            for other in (*kinds[:at], *kinds[at + 1 :]):
                if _disjoint(kinds[at], other, always):
                    continue
                names = [name for name in _required(other) if name not in own]
                if not names or kinds[at].get("type") != "object":
                    return None
                forbidden[names[0]] = False
            listed = branch.get("properties", {})
            apart.append({**branch, "properties": {**listed, **forbidden}} if forbidden else branch)
        return apart

    def _resolved(self, schema: Schema) -> Schema:
        """What a bare reference names; any other schema is itself."""
        path = target(schema["$ref"]) if schema.keys() == {"$ref"} else None
        found: Any = schema if path is None else self._root
        for part in path or ():
            found = found.get(part) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else schema


def _says_nothing(key: str, schema: Schema) -> bool:
    value = schema[key]
    if key == "format":
        return isinstance(value, str) and value not in _FORMATS
    if key == "if":
        return not schema.keys() & {"then", "else"}
    if key in ("then", "else"):
        return "if" not in schema
    return any(
        value == nothing and type(value) is type(nothing) for nothing in _NOTHING.get(key, ())
    )


def _required(schema: Schema) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def _disjoint(one: Schema, other: Schema, always: list[str]) -> bool:
    """Whether no value fits both, as far as types, constants and required properties tell.

    ``always`` are properties that are required of both.
    """
    values, others = _values(one), _values(other)
    if values is not None and others is not None:
        return not any(value in others for value in values)
    types, theirs = _types(one), _types(other)
    if types and theirs and not types & theirs:
        return True
    if not types == theirs == {"object"}:
        return False
    parts, its = one.get("properties"), other.get("properties")
    if not isinstance(parts, Mapping) or not isinstance(its, Mapping):
        return False
    sure = {*_required(one), *always} & {*_required(other), *always}
    return any(
        isinstance(parts[name], Mapping)
        and isinstance(its[name], Mapping)
        and _disjoint(parts[name], its[name], [])
        for name in sure & parts.keys() & its.keys()
    )


def _values(schema: Schema) -> list[Any] | None:
    """All values there may be, if they are listed."""
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return listed if isinstance(listed, list) else None


def _types(schema: Schema) -> set[str]:
    """The types there may be, integers as numbers; none where nothing is said."""
    kinds = schema.get("type")
    listed = [kinds] if isinstance(kinds, str) else kinds
    if not isinstance(listed, list):
        return set()
    return {"number" if kind == "integer" else str(kind) for kind in listed}
