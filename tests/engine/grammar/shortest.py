"""The shortest answers to random schemas, by rules that know no grammar."""

from __future__ import annotations

import json
from typing import Any

_STRINGS = {
    "^[A-Z]{2}[0-9]{3}$": "AA000",
    "^[a-z]+(-[a-z]+)*$": "a",
    "^v[0-9]+\\.[0-9]+$": "v0.0",
    "^#[0-9a-f]{6}$": "#000000",
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "email": "a@a.aa",
    "ipv4": "0.0.0.0",
}


def shortest(schema: dict[str, Any]) -> str:
    """A shortest text that ``schema`` (one of ``benchmarks.random_schemas``) allows."""
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return min(map(json.dumps, schema["enum"]), key=len)
    if "anyOf" in schema:
        return min(map(shortest, schema["anyOf"]), key=len)
    kind = schema["type"]
    if kind == "object":
        members = schema["properties"].items()
        needed = [(name, value) for name, value in members if name in schema["required"]]
        return "{" + ", ".join(f'"{name}": {shortest(value)}' for name, value in needed) + "}"
    if kind == "array":
        return "[" + ", ".join([shortest(schema["items"])] * schema.get("minItems", 0)) + "]"
    if kind == "string":
        known = _STRINGS.get(schema.get("pattern", schema.get("format")))
        return json.dumps("a" * schema.get("minLength", 0) if known is None else known)
    if kind in ("integer", "number"):
        least = schema.get("minimum", 0)
        most = schema.get("maximum", max(least, 0))
        return min(map(str, range(least, most + 1)), key=len)
    return "true" if kind == "boolean" else "null"
