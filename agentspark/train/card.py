"""The model card that lies beside a trained drafter."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from agentspark.dspark.beside import CARD_FILE
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.describe import describe
from agentspark.train.config import OptimConfig
from agentspark.train.evaluate import OfflineTau, shown_figure


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFacts:
    """What a card tells that a config does not. Unknown is ``None`` and said so.

    ``batch`` is the number of responses in a step, over all processes.
    """

    target: str
    prompt_files: Sequence[str]
    data_licence: str | None
    kinds: Sequence[str]
    response_tokens: int
    steps: int
    anchors: int
    batch: int
    hours: float
    hardware: str
    command: str | None
    tau: OfflineTau
    held_out: int
    notes: Sequence[str] = field(default_factory=tuple)


def hardware_text(threads: int, device: str) -> str:
    """Describe what trains here, as far as it is known: the GPU ``device``, or the processor."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {threads} threads"


def card_text(config: DrafterConfig, optim: OptimConfig, facts: TrainingFacts) -> str:
    """Return the card of a trained drafter, as Markdown."""
    kinds = ", ".join(f"{k} {n}" for k, n in Counter(facts.kinds).most_common())
    loss = optim.loss
    lines = [
        f"# {config.kind.title} drafter for {facts.target}",
        "",
        "Proposes blocks of tokens that the target then verifies; outputs stay the target's own.",
        describe(config),
        "",
        "## Data",
        f"- Prompts: {', '.join(facts.prompt_files)}",
        f"- Licence of the prompts: {facts.data_licence or 'unknown; see where they came from'}",
        f"- Responses: {len(facts.kinds)} by the target itself, {facts.response_tokens:,} tokens "
        f"({kinds})",
        "",
        "## Training",
        f"- {facts.steps:,} steps, {facts.anchors:,} anchors, {facts.hours:.2f} hours on "
        f"{facts.hardware}",
        f"- AdamW, rate {optim.lr:g}, warm-up {optim.warmup:g}, cosine, clip {optim.clip:g}; "
        f"loss {loss.ce:g} CE + {loss.l1:g} L1 + {loss.confidence:g} confidence, position decay "
        f"{loss.decay}, seed {optim.seed}"
        + (f", weights averaged with decay {optim.ema:g}" if optim.ema else ""),
        f"- {facts.batch} responses a step, {optim.anchors_per_sequence} anchors of "
        f"each and {optim.prompt_anchors} of its prompt at a time",
        f"- Command: {f'`{facts.command}`' if facts.command else 'not recorded'}",
        *(f"- {note}" for note in facts.notes),
        "",
        "## Measured",
        f"Accepted length per round, bonus included, on {facts.held_out} responses held out of "
        "training (whole blocks verified, computed from the target's stored predictions):",
        "",
        "| temperature | accepted length | acceptance of draft 1, 2, ... given the ones before |",
        "| --- | --- | --- |",
        f"| 0 | {shown_figure(facts.tau.greedy)} | {_shares(facts.tau.conditional_greedy)} |",
        f"| 1 | {shown_figure(facts.tau.sampled)} | {_shares(facts.tau.conditional)} |",
        "",
    ]
    return "\n".join(lines)


def _shares(values: Sequence[float | None]) -> str:
    known = any(value is not None for value in values)
    return ", ".join(map(shown_figure, values if known else (None,)))


def adapted_card(
    init: Path,
    figures: str,
    steps: int,
    seconds: float,
    command: str | None,
    hardware: str,
    *,
    notes: Sequence[str] = (),
) -> str:
    """Return the card of ``init``, if it has one, and what was done since, ``notes`` on it last.

    That is told once, where a kill came when the card was written and the weights were not.
    """
    card = init / CARD_FILE
    before = "# DSpark drafter"
    if card.exists():
        before = card.read_text(encoding="utf-8", errors="replace").rstrip()
    lines = [
        "## Adapted",
        f"- To traces of an agent's own work, {steps:,} steps, {seconds / 60.0:.1f} minutes on "
        f"{hardware}",
        f"- Command: {f'`{command}`' if command else 'not recorded'}",
        f"- Measured: {figures}",
        *(f"- {note}" for note in notes),
    ]
    section = "\n".join(lines)
    return f"{before.removesuffix(section).rstrip()}\n\n{section}\n"
