"""``agentspark export``: a drafter as a standalone checkpoint that other engines load."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentspark.cli.console import out as results
from agentspark.cli.console import say
from agentspark.cli.options import Model


class Layout(StrEnum):
    """Whose checkpoint format."""

    DEEPSPEC = "deepspec"
    SPECULATORS = "speculators"


def export(
    drafter: Annotated[
        Path, typer.Argument(help="Drafter folder; 'auto' is the one shipped for the target.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")],
    layout: Annotated[Layout, typer.Option("--format", help="Whose layout to write.")],
    target: Model = "smollm2",
    verifier: Annotated[
        str | None,
        typer.Option(help="How the file names the target: a hub id or a folder (speculators)."),
    ] = None,
) -> None:
    """Write a drafter with its target's embedding and LM head, as DeepSpec or speculators do.

    It drafts the same tokens there. A pruned vocabulary stays pruned in speculators and is
    unfolded in DeepSpec, which has none.
    """
    import torch

    from agentspark.dspark.export import Verifier, export_drafter
    from agentspark.models.modules import target_matrices
    from agentspark.models.target import load_target
    from agentspark.train.build import initial_drafter, loaded_drafter

    loaded = load_target(target, dtype=torch.bfloat16)
    folder = initial_drafter(drafter, loaded)
    advice = "give the target it was trained for with --model"
    model = loaded_drafter(loaded, folder, torch.bfloat16, advice=advice)
    embed, lm_head = target_matrices(loaded.model)
    shown = Verifier(
        name=verifier or _named(target),
        architectures=list(loaded.model.config.architectures or []),
        embed=embed,
        lm_head=lm_head,
    )
    for note in export_drafter(model, shown, layout.value, folder, out):
        say(note)
    results().print(str(out), markup=False, soft_wrap=True)


def _named(target: str) -> str | None:
    """How others may find the target; ``None`` for an embedded one, which only this house knows."""
    from agentspark.models.embedded import EMBEDDED

    return None if target in EMBEDDED else target
