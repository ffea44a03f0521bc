"""Where a call stands in its agent's work, as headers and metadata say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from agentspark.engine.params import Labels
from openai_dspark.server.errors import ApiError

HEADER_PREFIX = "x-agentspark-"
METADATA_PREFIX = "agentspark_"
TIMEOUT_HEADER = HEADER_PREFIX + "timeout"
_LONGEST = 256

_NAMES = tuple(field.name for field in fields(Labels) if field.name != "arm")
_HEADERS = {
    TIMEOUT_HEADER,
    *(HEADER_PREFIX + field.name.replace("_", "-") for field in fields(Labels)),
}
_KEYS = {METADATA_PREFIX + field.name for field in fields(Labels)}


def told(
    name: str, headers: Mapping[str, str], metadata: Mapping[str, str]
) -> tuple[str | None, str]:
    """What a header, or else the metadata, gives for a label, and where; an empty one is none."""
    header, key = HEADER_PREFIX + name.replace("_", "-"), METADATA_PREFIX + name
    if headers.get(header):
        return _as_sent(headers[header]), header
    return metadata.get(key) or None, f"metadata.{key}"


def _as_sent(value: str) -> str:
    """A header's text: ASGI servers read the bytes as Latin-1, and clients mean UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def read_labels(headers: Mapping[str, str], metadata: Mapping[str, str], arm: str | None) -> Labels:
    """Labels from ``x-agentspark-run``, ``-step``, ``-step-name``, ``-step-kind``, ``-parent``.

    Metadata may hold the same as ``agentspark_run`` and so on; a header wins. ``ApiError`` 400
    names one that cannot be used or is none of ours.
    """
    _none_is_unknown(headers, metadata)
    found: dict[str, str | int] = {}
    for name in _NAMES:
        value, where = told(name, headers, metadata)
        if value is None:
            continue
        if len(value) > _LONGEST or not value.isprintable():
            raise ApiError(
                400, f"{where}: give at most {_LONGEST} printable characters.", param=where
            )
        found[name] = _number(value, where) if name == "step" else value
    return Labels(**found, arm=arm)  # type: ignore[arg-type]  # step is the one number


def _none_is_unknown(headers: Mapping[str, str], metadata: Mapping[str, str]) -> None:
    """A label that is misspelt would otherwise be lost without a word."""
    for name in headers:
        if name.startswith(HEADER_PREFIX) and name not in _HEADERS:
            raise ApiError(400, f"{name}: there is no such header.", param=name)
    for key in metadata:
        if key.startswith(METADATA_PREFIX) and key not in _KEYS:
            where = f"metadata.{key}"
            raise ApiError(400, f"{where}: there is no such label.", param=where)


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ApiError(400, f"{where}: {text!r} is no whole number.", param=where)
    return int(text)
