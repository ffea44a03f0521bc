"""Random JSON schemas and tools, the same for the same seed: work for structured generation."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_NAMES = (
    "title", "city", "count", "price", "tags", "author", "status", "notes", "path", "lines",
    "enabled", "created", "owner", "score", "items", "language", "unit", "query", "limit", "email",
)  # fmt: skip
_WORDS = ("open", "closed", "draft", "red", "green", "blue", "celsius", "fahrenheit", "low", "high")
_PATTERNS = ("^[A-Z]{2}[0-9]{3}$", "^[a-z]+(-[a-z]+)*$", "^v[0-9]+\\.[0-9]+$", "^#[0-9a-f]{6}$")
_FORMATS = ("date", "date-time", "uuid", "email", "ipv4")
_VERBS = ("get", "list", "create", "update", "find", "send")


def random_schema(rng: random.Random, depth: int = 3) -> Schema:
    """A schema of the kinds that programs write: mostly objects, at most ``depth`` levels deep."""
    return _object(rng, depth) if rng.random() < 0.8 else _any(rng, depth)


def random_tools(rng: random.Random) -> list[Schema]:
    """One to five tools in OpenAI's shape with different names."""
    names = {f"{rng.choice(_VERBS)}_{rng.choice(_NAMES)}" for _ in range(rng.randint(1, 5))}
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Use this to {name.replace('_', ' ')}.",
                "parameters": _object(rng, 2),
            },
        }
        for name in sorted(names)
    ]


def _any(rng: random.Random, depth: int) -> Schema:
    kinds: list[Callable[[random.Random, int], Schema]] = [_string, _number, _integer, _plain]
    if depth > 0:
        kinds += [_object, _array, _union, _recursive]
    return rng.choice(kinds)(rng, depth)


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(_NAMES, rng.randint(1, 5))
    schema: Schema = {
        "type": "object",
        "properties": {name: _any(rng, depth - 1) for name in names},
        "required": rng.sample(names, rng.randint(0, len(names))),
    }
    if rng.random() < 0.6:
        schema["additionalProperties"] = False
    if rng.random() < 0.2:
        schema["title"] = "Record"
    return schema


def _array(rng: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": "array", "items": _any(rng, depth - 1)}
    if rng.random() < 0.7:
        schema["minItems"] = rng.randint(0, 2)
    if rng.random() < 0.7:
        schema["maxItems"] = rng.randint(2, 4)
    return schema


def _union(rng: random.Random, depth: int) -> Schema:
    return {"anyOf": [_any(rng, depth - 1), {"type": "null"}]}


def _recursive(rng: random.Random, depth: int) -> Schema:
    node = {
        "type": "object",
        "properties": {"value": {"type": "integer"}, "next": {"type": ["object", "null"]}},
        "required": ["value", "next"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": node, "maxItems": 2}


def _string(rng: random.Random, depth: int) -> Schema:
    kind = rng.randrange(5)
    if kind == 0:
        return {"enum": rng.sample(_WORDS, rng.randint(1, 4))}
    if kind == 1:
        return {"type": "string", "pattern": rng.choice(_PATTERNS)}
    if kind == 2:
        return {"type": "string", "format": rng.choice(_FORMATS)}
    if kind == 3:
        return {"type": "string", "minLength": rng.randint(0, 3), "maxLength": rng.randint(8, 40)}
    return {"type": "string", "description": "Free text."}


def _number(rng: random.Random, depth: int) -> Schema:
    return {"type": "number"} if rng.random() < 0.5 else {"type": "number", "minimum": 0}


def _integer(rng: random.Random, depth: int) -> Schema:
    low = rng.randint(-10, 10)
    return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 500)}


def _plain(rng: random.Random, depth: int) -> Schema:
    return rng.choice([{"type": "boolean"}, {"const": "yes"}, {"type": "integer"}])
