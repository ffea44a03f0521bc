"""A card says what is known, and of the rest that it is not."""

from __future__ import annotations

from pathlib import Path

from agentspark.train.card import TrainingFacts, adapted_card, card_text
from agentspark.train.config import OptimConfig
from agentspark.train.evaluate import OfflineTau
from tests.dspark.small import pruned


def facts(tau: OfflineTau, batch: int = 4) -> TrainingFacts:
    return TrainingFacts(
        target="some target", prompt_files=["p.jsonl"], data_licence=None, kinds=["chat"],
        response_tokens=9, steps=3, anchors=5, batch=batch, hours=0.5, hardware="a machine",
        command=None, tau=tau, held_out=0,
    )  # fmt: skip


def test_unknown_figures_are_said_to_be_unknown():
    nothing = OfflineTau(None, None, [None] * 2, [None] * 2, rounds=0, anchors=0)
    card = card_text(pruned(), OptimConfig(), facts(nothing))
    assert "nan" not in card
    assert "| 0 | unknown | unknown |\n| 1 | unknown | unknown |" in card
    some = OfflineTau(1.5, 1.25, [0.5, 0.25], [0.5, None], rounds=2, anchors=4)
    card = card_text(pruned(), OptimConfig(), facts(some))
    assert "| 0 | 1.50 | 0.50, unknown |\n| 1 | 1.25 | 0.50, 0.25 |" in card


def test_a_step_is_that_of_all_processes():
    tau = OfflineTau(1.0, 1.0, [0.0], [0.0], rounds=1, anchors=1)
    card = card_text(pruned(), OptimConfig(sequences_per_step=4), facts(tau, batch=8))
    assert "- 8 responses a step" in card


def test_an_adaptation_that_was_killed_while_it_was_written_is_told_once(tmp_path: Path):
    (tmp_path / "README.md").write_bytes(b"# A drafter, \xff\n")  # as others may have written it
    first = adapted_card(tmp_path, "1.2 before, 1.4 after", 20, 90.0, "agentspark train", "a CPU")
    assert first.startswith("# A drafter, \ufffd\n\n## Adapted\n- To traces")
    (tmp_path / "README.md").write_text(first)
    assert (
        adapted_card(tmp_path, "1.2 before, 1.4 after", 20, 90.0, "agentspark train", "a CPU")
        == first
    )
    more = adapted_card(tmp_path, "1.4 before, 1.5 after", 20, 60.0, "agentspark train", "a CPU")
    assert more.startswith(first)
    assert more.count("## Adapted") == 2
