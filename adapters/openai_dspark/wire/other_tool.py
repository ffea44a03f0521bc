"""A tool of a kind that this server cannot offer to its model."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

# Types go into a header, too.
ToolType = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.:-]{1,64}$")]


class OtherTool(BaseModel):
    """Whatever its maker's servers would run, such as ``web_search``: only the type is read."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())

    type: ToolType


def kind_of(value: Any, known: tuple[str, ...]) -> str:
    """The tag of a tool: ``<TYPE>`` of the ``known`` types, or ``<other>``; the first for none.

    No field is called so: tags stand in errors' locations, where fields do.
    """
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if not isinstance(kind, str):
        return f"<{known[0]}>"
    return f"<{kind}>" if kind in known else "<other>"
