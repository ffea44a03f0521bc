"""Where a call stands in its agent's work, as headers and metadata say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from agentspark.engine.params import Labels
from openai_dspark.server.errors import ApiError

HEADER_PREFIX = "x-agentspark-"
METADATA_PREFIX = "agentspark_"
_LONGEST = 256

_NAMES = tuple(field.name for field in fields(Labels) if field.name != "arm")


def read_labels(headers: Mapping[str, str], metadata: Mapping[str, str], arm: str | None) -> Labels:
    """Labels from ``x-agentspark-run``, ``-step``, ``-step-name``, ``-step-kind``, ``-parent``.

    Metadata may hold the same as ``agentspark_run`` and so on; a header wins. ``ApiError`` 400
    names one that cannot be used.
    """
    found: dict[str, str | int] = {}
    for name in _NAMES:
        header, key = HEADER_PREFIX + name.replace("_", "-"), METADATA_PREFIX + name
        where = header if header in headers else f"metadata.{key}"
        value = headers.get(header, metadata.get(key))
        if not value:
            continue
        if len(value) > _LONGEST or not value.isprintable():
            raise ApiError(
                400, f"{where}: give at most {_LONGEST} printable characters.", param=where
            )
        found[name] = _number(value, where) if name == "step" else value
    return Labels(**found, arm=arm)  # type: ignore[arg-type]  # step is the one number


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiError(400, f"{where}: {text!r} is no whole number.", param=where)
    return int(text)
