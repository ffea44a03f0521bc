"""``agentspark pull``: fetch and prepare a target ahead of its first use."""

from __future__ import annotations

from typing import Annotated

import typer

from agentspark.cli.console import out


def pull(
    name: Annotated[str, typer.Argument(help="smollm2, a hub id or a GGUF file.")] = "smollm2",
) -> None:
    """Fetch a target and convert it once; prints the folder it can be loaded from."""
    from agentspark.models import pull as fetch

    out().print(str(fetch(name)), markup=False, soft_wrap=True)
