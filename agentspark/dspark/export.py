"""Standalone checkpoints for other engines: nothing is left for the reader to fill in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from agentspark.dspark.beside import CARD_FILE, calibration_files
from agentspark.dspark.calibration import FILE_NAME as CALIBRATION_FILE
from agentspark.dspark.checkpoint import DRAFT_TOKENS, WEIGHTS_FILE, drafter_tensors
from agentspark.dspark.config import CONFIG_FILE
from agentspark.dspark.describe import describe
from agentspark.dspark.expand import sort_draft_tokens, unfold_previous, unfold_vocabulary
from agentspark.dspark.model import DraftModel, DSparkModel
from agentspark.dspark.speculators import speculators_fields, vocabulary_maps
from agentspark.errors import DrafterError
from agentspark.files import whole_files

Format = Literal["deepspec", "speculators"]
FORMATS: tuple[Format, ...] = ("deepspec", "speculators")

_NAMES: dict[Format, str] = {"deepspec": "DeepSpec", "speculators": "speculators"}


@dataclass(frozen=True, slots=True)
class Verifier:
    """The target a checkpoint names: a hub id or folder, and its config's architectures.

    ``name`` ``None`` leaves the target to whoever loads the checkpoint. ``embed`` and ``lm_head``
    are its matrices, both ``[V, d]``.
    """

    name: str | None
    architectures: Sequence[str]
    embed: Tensor
    lm_head: Tensor


def export_drafter(
    model: DraftModel, verifier: Verifier, layout: Format, source: Path, out: Path
) -> tuple[str, ...]:
    """Write the drafter loaded from ``source`` to the folder ``out``; return what to know of it.

    It is written in bfloat16 with the verifier's embedding and LM head, and drafts the same tokens
    there. The calibration beside ``source`` goes with it, and the card, which then tells what this
    file holds; those of a drafter that was in ``out`` before go. Raises ``DrafterError`` for
    another family than DSpark, for Gemma 4's layers in speculators, and where ``out`` is ``source``
    or cannot be written; an interrupted write leaves no half file.
    """
    if not isinstance(model, DSparkModel) or model.config.family != "dspark":
        raise DrafterError(
            f"A drafter of family {model.config.family} has no standalone layout here: DSpark "
            "drafters can be exported."
        )
    gemma = model.config.backbone == "gemma4" or model.config.final_logit_softcapping is not None
    if gemma and layout == "speculators":
        raise DrafterError(
            "The speculators layout has Qwen3's layers only, and no capped logits: write this "
            "drafter as deepspec."
        )
    if out.resolve() == source.resolve():
        raise DrafterError("An export would overwrite the drafter itself: give another folder.")
    pruned = model.draft_token_ids is not None
    if layout == "deepspec":
        shown = unfold_vocabulary(model)
        config, tensors = _deepspec(shown), drafter_tensors(shown)
        head = verifier.lm_head
    else:
        shown = unfold_previous(sort_draft_tokens(model))
        config = speculators_fields(shown.config, verifier.name, verifier.architectures)
        tensors = drafter_tensors(shown)
        tensors.pop(DRAFT_TOKENS, None)
        head, ids = verifier.lm_head, shown.draft_token_ids
        if ids is not None:
            tensors |= vocabulary_maps(ids, shown.config.vocab_size)
            head = head[ids.to(head.device)]
    tensors["embed_tokens.weight"] = _copy(verifier.embed)
    tensors["lm_head.weight"] = _copy(head)
    notes = _notes(shown, layout, pruned)
    _write(out, config, tensors, source, _card(source, model, shown, layout, notes))
    return notes


def _deepspec(model: DSparkModel) -> dict[str, Any]:
    config = model.config.to_json()
    # Ours, and without meaning where all tokens can be drafted.
    for name in ("draft_vocab_size", "markov_w1_pruned"):
        del config[name]
    return {**config, "dtype": "bfloat16"}


def _copy(weight: Tensor) -> Tensor:
    # Two names must not share memory in a safetensors file, as tied matrices do.
    return weight.detach().to("cpu", torch.bfloat16, copy=True).contiguous()


def _card(
    source: Path, model: DSparkModel, shown: DSparkModel, layout: Format, notes: Sequence[str]
) -> str | None:
    """The card beside ``source``, where there is one, made true of the file that is ``shown``."""
    path = source / CARD_FILE
    if not path.exists():
        return None
    # Unfolded or not, the drafter proposes the tokens it could propose before.
    told = replace(shown.config, draft_vocab_size=model.config.draft_vocab_size)
    line = describe(told, standalone=True)
    text = path.read_text(encoding="utf-8", errors="replace").rstrip()
    text = text.replace(describe(model.config), line)
    title = f"## Exported as {_NAMES[layout]}"
    # The line stands here too: a card that was written by hand may say otherwise further up.
    section = [title, f"- {line} It is bfloat16.", *(f"- {note}" for note in notes), ""]
    return f"{text}\n\n" + "\n".join(section)


def _write(
    out: Path, config: dict[str, Any], tensors: dict[str, Tensor], source: Path, card: str | None
) -> None:
    try:
        with whole_files(out, _stale(out)) as folder:
            save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
            text = json.dumps(config, indent=2) + "\n"
            (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
            if (source / CALIBRATION_FILE).exists():
                shutil.copyfile(source / CALIBRATION_FILE, folder / CALIBRATION_FILE)
            if card is not None:
                (folder / CARD_FILE).write_text(card, encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise DrafterError(
            f"The checkpoint cannot be written to {out} ({error}): free some space or choose "
            "another folder."
        ) from error


def _stale(out: Path) -> list[Path]:
    """What in ``out`` tells of the drafter that was exported there before, if one was."""
    card = [out / CARD_FILE] if (out / WEIGHTS_FILE).exists() else []
    return [*calibration_files(out), *card]


def _notes(model: DSparkModel, layout: Format, pruned: bool) -> tuple[str, ...]:
    notes: list[str] = []
    config = model.config
    if layout == "deepspec" and pruned:
        notes.append(
            f"DeepSpec's layout has no pruned vocabulary: the LM head has all {config.vocab_size} "
            f"rows again, and tokens that could not be drafted are barred by the sequential head "
            f"(rank {config.markov_rank}). It drafts the same tokens, at the price of a larger "
            "head; speculators keeps the pruned one."
        )
    if config.markov_rank and config.markov_head_type != "vanilla":
        notes.append(
            f"Its sequential head is {config.markov_head_type}: vLLM's DSpark builds the vanilla "
            "head only."
        )
    return tuple(notes)
