"""JSON schemas on their way into a grammar: checked, closed, and with fixed separators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentspark.errors import InvalidRequestError

# A schema of this many characters compiles in under half a second; nobody writes longer ones.
MAX_SCHEMA_CHARS = 200_000
# One way to write white space, the one of Python's json.dumps: a model cannot fill its answer with
# blank lines, and separators are tokens that the grammar forces.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# Keywords whose value is a schema, a list of schemas, or a mapping of names to schemas.
_ONE = ("items", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames")
_MANY = ("anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
# An object that is put together of several schemas cannot be closed in each of them.
_COMBINING = ("allOf", "$ref", "unevaluatedProperties", "if", "dependentSchemas")


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema as the grammar takes it (JSON text); ``param`` names it in the caller's terms."""

    text: str
    param: str


def schema_text(schema: object, *, strict: bool | None, param: str) -> SchemaText:
    """Prepare ``schema`` (a mapping, or ``True`` for anything).

    Objects that list ``properties`` and say nothing of others get no others: every output still
    validates, and a model invents no arguments. ``strict=False`` drops what the grammar cannot
    express instead of refusing it. Raises ``InvalidRequestError`` naming ``param``.
    """
    if isinstance(schema, bool):
        schema = {"anyOf": [schema]} if schema else {"type": []}
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"{param} must be a JSON schema (an object), not {type(schema).__name__}.", param=param
        )
    try:
        layout = {**_LAYOUT, "lenient": strict is False, "coerce_one_of": strict is False}
        told = {key: value for key, value in _closed(schema).items() if key != "x-guidance"}
        text = json.dumps({"x-guidance": layout, **told}, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except RecursionError as error:
        raise InvalidRequestError(
            f"{param} is nested too deeply: use $ref for repeating parts.", param=param
        ) from error
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"{param} is no JSON: {error}.", param=param) from error
    if len(text) > MAX_SCHEMA_CHARS:
        raise InvalidRequestError(
            f"{param} has {len(text)} characters and at most {MAX_SCHEMA_CHARS} are taken: "
            "give a smaller schema.",
            param=param,
        )
    return SchemaText(text, param)


def _closed(schema: Any) -> Any:
    """A copy in which objects with listed properties take no others unless the schema says so."""
    if not isinstance(schema, Mapping):
        return schema
    copy = dict(schema)
    for key in _ONE:
        if key in copy:
            copy[key] = _each(copy[key])
    for key in _MANY:
        if key in copy:
            copy[key] = _each(copy[key])
    for key in _NAMED:
        if isinstance(copy.get(key), Mapping):
            copy[key] = {name: _closed(value) for name, value in copy[key].items()}
    if isinstance(copy.get("additionalProperties"), Mapping):
        copy["additionalProperties"] = _closed(copy["additionalProperties"])
    elif (
        isinstance(copy.get("properties"), Mapping)
        and "additionalProperties" not in copy
        and "patternProperties" not in copy
        and not any(key in copy for key in _COMBINING)
        and set(copy.get("required") or ()) <= set(copy["properties"])
    ):
        copy["additionalProperties"] = False
    return copy


def _each(value: Any) -> Any:
    return [_closed(item) for item in value] if isinstance(value, list) else _closed(value)
