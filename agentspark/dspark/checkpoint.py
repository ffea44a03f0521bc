"""Drafter checkpoints: a folder with ``config.json`` and ``model.safetensors``.

Names are DeepSpec's. ``embed_tokens`` and ``lm_head`` are left out (they are the target's) and
ignored where a file has them. ``draft_token_ids`` (int32, ``[V_draft]``, target ids) is ours and
present where the draft vocabulary is pruned. Files of the speculators layout are read as well.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from agentspark.dspark.config import CONFIG_FILE, read_config
from agentspark.dspark.model import DraftModel, build_model
from agentspark.dspark.speculators import draft_tokens
from agentspark.errors import DrafterFormatError
from agentspark.files import whole_files

WEIGHTS_FILE = "model.safetensors"
DRAFT_TOKENS = "draft_token_ids"
_FROM_TARGET = ("embed_tokens.weight", "lm_head.weight", "verifier_lm_head.weight")


def drafter_tensors(model: DraftModel, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Return a drafter's tensors under their checkpoint names, on the CPU."""
    tensors = {
        name.removeprefix("backbone."): tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    if model.draft_token_ids is not None:
        tensors[DRAFT_TOKENS] = model.draft_token_ids.to("cpu", torch.int32)
    return tensors


def save_drafter(model: DraftModel, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the checkpoint; an interrupted write never leaves half a file under its name."""
    text = json.dumps(model.config.to_json(), indent=2) + "\n"
    with whole_files(folder) as temporary:
        tensors = drafter_tensors(model, dtype)
        save_file(tensors, temporary / WEIGHTS_FILE, metadata={"format": "pt"})
        (temporary / CONFIG_FILE).write_text(text, encoding="utf-8")


def load_drafter(
    folder: Path, *, dtype: torch.dtype = torch.bfloat16, device: str | torch.device = "cpu"
) -> DraftModel:
    """Read a checkpoint; the caller then checks it and calls ``attach_target``.

    Raises ``DrafterFormatError`` for a missing, broken or incomplete file.
    """
    config = read_config(folder)
    tensors = _read(folder / WEIGHTS_FILE)
    for name in _FROM_TARGET:
        tensors.pop(name, None)
    tensors.pop("t2d", None)
    offsets = tensors.pop("d2t", None)
    ids = tensors.pop(DRAFT_TOKENS, None) if offsets is None else draft_tokens(offsets)
    model = build_model(config, ids)
    expected = {n.removeprefix("backbone."): t.shape for n, t in model.state_dict().items()}
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or unknown:
        raise DrafterFormatError(
            f"the drafter in {folder} lacks tensors {sorted(missing)[:4]} and has unknown ones "
            f"{sorted(unknown)[:4]}: its config.json does not fit its weights."
        )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise DrafterFormatError(
                f"tensor {name} in {folder} has shape {list(tensors[name].shape)}, the config "
                f"asks for {list(shape)}: the checkpoint is inconsistent."
            )
    own = {
        name if name.split(".")[0] in ("markov_head", "confidence_head") else f"backbone.{name}": t
        for name, t in tensors.items()
    }
    model.load_state_dict(own)
    return model.to(device=device, dtype=dtype).eval().requires_grad_(False)


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights; ``DrafterFormatError`` where it has none."""
    path = folder / WEIGHTS_FILE
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DrafterFormatError:
    if isinstance(error, FileNotFoundError):
        return DrafterFormatError(f"no {WEIGHTS_FILE} in {path.parent}: give a drafter's folder.")
    return DrafterFormatError(
        f"{path} cannot be read ({error}): it is broken or cut off; fetch or train it again."
    )
