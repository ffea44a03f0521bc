"""Texts as callers give them."""

from __future__ import annotations

from agentspark.errors import InvalidRequestError


def check_text(text: str, param: str) -> None:
    """Raise ``InvalidRequestError`` naming ``param`` for what no file or tokenizer can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"{param} has half a surrogate pair ({error.object[error.start]!r}), which is no "
            "text: give whole characters.",
            param=param,
        ) from error
