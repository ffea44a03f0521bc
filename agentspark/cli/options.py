"""Options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from agentspark.config import Dtype, EngineConfig


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


class Precision(StrEnum):
    """The target's number format; ``auto`` is bfloat16 where the device computes in it.

    ``float16`` keeps weights in it and computes in float32, on a CPU only.
    """

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    FLOAT32 = "float32"


class Source(StrEnum):
    """Where drafts come from."""

    AUTO = "auto"
    DSPARK = "dspark"
    SUFFIX = "suffix"
    OFF = "off"


# Two names: what makes or judges drafters speaks of the target, what answers of the model.
Model = Annotated[
    str,
    typer.Option(
        "--model", "--target", "-m", help="Target: smollm2, a hub id, a folder or a GGUF file."
    ),
]
Drafter = Annotated[
    str,
    typer.Option(
        "--drafter", help="Drafter folder, 'auto' (the one shipped for the target) or 'none'."
    ),
]
Exact = Annotated[
    Switch,
    typer.Option("--exact", help="Same bits however a token is computed, so arms can be compared."),
]
DtypeOption = Annotated[
    Precision,
    typer.Option(
        "--dtype",
        help="Number format of the target. auto: bfloat16 where the device computes in it, else "
        "float16 (weights alone, all else in float32), else float32.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", help="cpu, cuda, or one of several as cuda:1; a GPU if there is one."),
]
TraceTokens = Annotated[
    bool,
    typer.Option(
        "--trace-tokens",
        help="Keep prompt and output token ids in the trace (private data), as train needs them.",
    ),
]
Out = Annotated[Path, typer.Option("--out", help="Folder for traces and reports.")]


def drafter_name(value: str) -> str | None:
    """``none`` means no drafter."""
    return None if value == "none" else value


def parse_verify(value: str) -> Literal["auto", "full"] | int:
    """``auto``, ``full`` or a number of drafts; anything else is a usage error."""
    if value == "auto":
        return "auto"
    if value == "full":
        return "full"
    if value.isascii() and value.isdigit():
        return int(value)
    raise typer.BadParameter(f"{value!r} is none of: auto, full, a whole number of drafts")


def dtype_name(dtype: Precision) -> Dtype | None:
    """The number format as settings name it; ``None`` leaves it to the device."""
    names: dict[Precision, Dtype | None] = {
        Precision.AUTO: None,
        Precision.BFLOAT16: "bfloat16",
        Precision.FLOAT16: "float16",
        Precision.FLOAT32: "float32",
    }
    return names[dtype]


def engine_config(
    *, exact: Switch, dtype: Precision = Precision.AUTO, device: str | None = None
) -> EngineConfig:
    """The engine settings that the command line can change."""
    from agentspark.config import EngineConfig

    return EngineConfig(exact=exact is Switch.ON, dtype=dtype_name(dtype), device=device)


def parse_numbers(value: str) -> tuple[float, ...]:
    """Read numbers separated by commas; ``BadParameter`` where they are none."""
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} must be numbers separated by commas") from error
