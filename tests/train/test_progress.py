"""The display of a run's stages."""

from __future__ import annotations

import io

from rich.console import Console

from agentspark.train.progress import rich_stages


def test_a_stage_shows_its_title_share_and_numbers():
    text = io.StringIO()
    stage = rich_stages(Console(file=text, width=160, force_terminal=True))
    with stage("training") as advance:
        advance(0.5, 1.0, {"loss": 2.5, "tau_greedy": 1.75, "grad_norm": 9.0})
    shown = text.getvalue()
    assert "training" in shown
    assert "50%" in shown
    assert "loss 2.5" in shown
    assert "tau_greedy 1.75" in shown
    assert "grad_norm" not in shown
