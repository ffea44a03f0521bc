"""The models a server has."""

from __future__ import annotations

from typing import Literal

from openai_dspark.wire.body import Reply


class Model(Reply):
    """One name that requests may give."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | None = None


class ModelList(Reply):
    """All of them."""

    object: Literal["list"]
    data: list[Model]
