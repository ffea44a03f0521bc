"""The run log's plots."""

from __future__ import annotations

import json
from pathlib import Path

from agentspark.train.logplot import plot_log


def test_a_log_is_drawn_beside_itself(tmp_path: Path):
    log = tmp_path / "run.jsonl"
    assert plot_log(log) == []
    numbers = {"loss": 2.0, "l1": 1.5, "tau_greedy": 1.4, "tau_sampled": 1.6, "lr": 1e-3}
    lines = [{"event": "step", "step": step, **numbers} for step in (20, 40, 60, 40, 60)]
    lines.append({"event": "resumed", "step": 20})
    lines.append({"event": "evaluation", "step": 60, "tau_greedy": None, "tau_sampled": 1.3})
    odd = (
        b'\xff\xfe\n{"event": "step", "step": null}\n{"event": "step", "step": [1]}\n{"event": "st'
    )
    log.write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode() + odd)
    png, svg = plot_log(log)
    assert (png.name, svg.name) == ("run.png", "run.svg")
    assert png.read_bytes()[:4] == b"\x89PNG"
    text = svg.read_text()
    assert all(word in text for word in ("accepted length", "learning rate", "sampled, held out"))


def test_a_log_without_steps_has_no_plot(tmp_path: Path):
    log = tmp_path / "run.jsonl"
    log.write_text('{"event": "resumed", "step": 0}\n')
    assert plot_log(log) == []
    assert list(tmp_path.iterdir()) == [log]
