"""JSON schemas on their way into a grammar: checked, closed, and with fixed separators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from agentspark.engine.grammar.closed import closed
from agentspark.engine.grammar.reworded import reworded
from agentspark.errors import InvalidRequestError

# A schema of this many characters compiles in under half a second; nobody writes longer ones.
MAX_SCHEMA_CHARS = 200_000
# One way to write white space, the one of Python's json.dumps: a model cannot fill its answer with
# blank lines, and separators are tokens that the grammar forces.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema as the grammar takes it (JSON text); ``param`` names it in the caller's terms.

    ``opened`` is the same with no object closed that the schema leaves open: where ``text`` cannot
    be compiled, that may be. ``lenient`` if what the grammar cannot express is left out.
    """

    text: str
    param: str
    opened: str = ""
    lenient: bool = False


def schema_text(schema: object, *, strict: bool | None, param: str) -> SchemaText:
    """Prepare ``schema`` (a mapping, or ``True`` for anything).

    Objects that list ``properties`` and say nothing of others get no others (see ``closed``):
    every output still validates, and a model invents no arguments. What the grammar knows in other
    words only is said in these (see ``reworded``). ``strict=False`` drops what the
    grammar cannot express instead of refusing it. Raises ``InvalidRequestError`` naming ``param``.
    """
    if isinstance(schema, bool):
        schema = {"anyOf": [schema]} if schema else {"type": []}
    if not isinstance(schema, Mapping):
        raise InvalidRequestError(
            f"{param} must be a JSON schema (an object), not {type(schema).__name__}.", param=param
        )
    try:
        known = reworded(schema)
        text = _written(closed(known), lenient=strict is False)
        opened = _written(known, lenient=strict is False)
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
    return SchemaText(text, param, opened, strict is False)


def _written(schema: Mapping[str, object], *, lenient: bool) -> str:
    layout = {**_LAYOUT, "lenient": lenient, "coerce_one_of": lenient}
    told = {key: value for key, value in schema.items() if key != "x-guidance"}
    text = json.dumps({"x-guidance": layout, **told}, ensure_ascii=False, allow_nan=False)
    text.encode("utf-8")
    return text
