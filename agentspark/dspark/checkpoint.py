"""Drafter checkpoints: a folder with ``config.json`` and ``model.safetensors``.

Names are DeepSpec's. ``embed_tokens`` and ``lm_head`` are left out (they are the target's) and
ignored where a file has them. ``draft_token_ids`` (int32, ``[V_draft]``, target ids) is ours and
present where the draft vocabulary is pruned. Files of the speculators layout are read as well.

Two files cannot take their places at once. So those that are written here name what belongs
together (``config_id``, in the config and in the weights' metadata): a config beside weights of
another one, which a kill may leave, is refused, and the same config beside older weights is what it
says. Weights that another program wrote name nothing and are taken as they are, unless such a kill
has left its traces beside them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from agentspark.dspark.config import CONFIG_FILE, DrafterConfig, parse_config, read_raw
from agentspark.dspark.model import DraftModel, build_model
from agentspark.dspark.speculators import draft_tokens
from agentspark.errors import DrafterFormatError
from agentspark.files import leftovers, whole_files

WEIGHTS_FILE = "model.safetensors"
DRAFT_TOKENS = "draft_token_ids"
CONFIG_ID = "config_id"
_TRIES = 5
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
    config = model.config.to_json()
    mark = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    text = json.dumps({**config, CONFIG_ID: mark}, indent=2) + "\n"
    with whole_files(folder) as temporary:
        _write(drafter_tensors(model, dtype), temporary / WEIGHTS_FILE, mark)
        (temporary / CONFIG_FILE).write_text(text, encoding="utf-8")


def _write(tensors: dict[str, Tensor], path: Path, mark: str) -> None:
    """Write the weights so that equal ones are equal files: metadata come in any order else."""
    save_file(tensors, path, metadata={"format": "pt", CONFIG_ID: mark})
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":")).encode().ljust(size))


def load_drafter(
    folder: Path, *, dtype: torch.dtype = torch.bfloat16, device: str | torch.device = "cpu"
) -> DraftModel:
    """Read a checkpoint; the caller then checks it and calls ``attach_target``.

    Raises ``DrafterFormatError`` for a missing, broken or incomplete file, and for a config and
    weights that do not belong together.
    """
    config, tensors = _read_both(folder)
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


def _read_both(folder: Path) -> tuple[DrafterConfig, dict[str, Tensor]]:
    """The config and the weights of one drafter, also where another takes its place meanwhile."""
    for _ in range(_TRIES):
        seen = _stamps(folder)
        raw = read_raw(folder)
        mark = _mark(folder / WEIGHTS_FILE)
        config, tensors = parse_config(raw), _read(folder / WEIGHTS_FILE)
        if _stamps(folder) == seen:
            break
    other = raw.get(CONFIG_ID) != mark and (mark is not None or _cut_off(folder))
    if raw.get(CONFIG_ID) is not None and other:
        raise DrafterFormatError(
            f"{CONFIG_FILE} and {WEIGHTS_FILE} in {folder} are of two drafters: one was taking the "
            "other's place when it was cut off. Start the command again that wrote it, or copy "
            "both files from where they came (a training's lie in its work folder)."
        )
    return config, tensors


def _stamps(folder: Path) -> list[tuple[int, ...] | None]:
    """What tells whether one of the two files was replaced."""
    stamps: list[tuple[int, ...] | None] = []
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        try:
            found = (folder / name).stat()
        except OSError:
            stamps.append(None)
        else:
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
    return stamps


def _cut_off(folder: Path) -> bool:
    """Whether weights lie there that were to take the place of those that do."""
    return any((left / WEIGHTS_FILE).exists() for left in leftovers(folder))


def _mark(path: Path) -> str | None:
    """The id of the config that weights were written with, if they name it."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get(CONFIG_ID)
    except (SafetensorError, OSError, ValueError) as error:
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
