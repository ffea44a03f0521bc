"""Loading a target: the model whose tokens are generated, ready to run, with its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.errors import ConfigError, ModelFormatError, UnsupportedModelError
from agentspark.models.chat import ChatTokenizer
from agentspark.models.progress import no_library_bars, no_library_reports
from agentspark.models.resolve import model_name, resolve_target
from agentspark.models.room import check_room
from agentspark.models.spec import TargetSpec, check_config, check_layers, outline
from agentspark.models.text_part import text_part

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True, slots=True)
class Target:
    """A loaded target: ``model`` is in evaluation mode and its weights need no gradient."""

    name: str
    folder: Path
    model: PreTrainedModel
    tokenizer: ChatTokenizer
    spec: TargetSpec


def load_target(
    name: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: str = "cpu",
    attn_implementation: str | None = None,
    cache_dir: Path | None = None,
    half: bool = False,
) -> Target:
    """Load the model ``name``: an embedded model, a folder, a GGUF file or a hub id.

    Of a multimodal Gemma 4 the language model is loaded.
    ``dtype`` ``None`` keeps the checkpoint's; ``half`` makes sure of the room that its weights take
    packed in float16 (``half.py``), which is the caller's to do. ``attn_implementation`` is a name
    known to transformers' attention interface, ``None`` its default. No code from the model's files
    is run and only safetensors are read. Raises ``ModelNotFoundError``, ``ModelFormatError``,
    ``UnsupportedModelError``, or ``ConfigError`` for a device that is not there and for weights
    that do not fit in the free memory.
    """
    place = _device(device)
    folder = resolve_target(name, cache_dir=cache_dir)
    shown = model_name(name)
    config, renamed = text_part(_read_config(folder))
    check_config(config, shown)
    shapes = outline(config)
    check_layers(shapes, shown)
    for file in sorted(folder.glob("*.safetensors")):
        check_safetensors(file)
    check_room(shapes, dtype, shown, half=half)
    tokenizer = _read_tokenizer(folder)
    model = _read_model(folder, config, renamed, dtype, attn_implementation)
    model = model.to(place).eval().requires_grad_(False)  # type: ignore[arg-type]
    spec = TargetSpec.of(model, _eos_token_ids(model, tokenizer))
    return Target(name=shown, folder=folder, model=model, tokenizer=tokenizer, spec=spec)


def check_safetensors(file: Path) -> None:
    """Raise ``ModelFormatError`` unless the file holds weights and is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as weights:
            empty = not weights.keys()
    except SafetensorError as error:
        size = file.stat().st_size
        raise ModelFormatError(
            f"{file} is truncated or broken ({size} bytes: {error}). Get it again."
        ) from error
    except OSError as error:
        raise ModelFormatError(f"{file} cannot be read: {error}. Get it again.") from error
    if empty:
        raise ModelFormatError(f"{file} holds no weights. Get it again.")


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device={name!r} is unknown: use 'cpu' or 'cuda'.") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device={name!r} is not supported: use 'cpu' or 'cuda'.")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise ConfigError(
            f"device={name!r} cannot be used: torch finds {found} CUDA devices. "
            "Use another one, or 'cpu'."
        )
    return device


def _read_config(folder: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind = told["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFormatError(
            f"{folder / 'config.json'} is broken or names no model_type ({error}). Get it again."
        ) from error
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except KeyError as error:
        raise _unknown_kind(folder, kind) from error
    except ValueError as error:
        if "remote" in str(error) or kind in str(error):
            raise _unknown_kind(folder, kind) from error
        raise ModelFormatError(f"{folder / 'config.json'} is broken: {error}") from error
    return config


def _unknown_kind(folder: Path, kind: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{folder.name} is a {kind!r} model, which the installed transformers does not know "
        "(code that comes with a model is never run). Choose another model or update transformers."
    )


def _read_tokenizer(folder: Path) -> ChatTokenizer:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizers has no error type of its own
        raise ModelFormatError(
            f"The tokenizer in {folder} cannot be read ({type(error).__name__}: {error}). "
            "The folder needs tokenizer.json and tokenizer_config.json."
        ) from error
    return ChatTokenizer(tokenizer)


def _read_model(
    folder: Path,
    config: PreTrainedConfig,
    renamed: dict[str, str] | None,
    dtype: torch.dtype | None,
    attn_implementation: str | None,
) -> PreTrainedModel:
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    more: dict[str, Any] = {}
    if attn_implementation is not None:
        more["attn_implementation"] = attn_implementation
    if renamed is not None:
        more["key_mapping"] = renamed
    try:
        # What a checkpoint holds beyond the model is none of the user's concern; what it lacks is
        # told below.
        with no_library_bars(), no_library_reports():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                config=config,
                dtype="auto" if dtype is None else dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
                **more,
            )
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ModelFormatError(f"The weights in {folder} cannot be read: {error}") from error
    model: PreTrainedModel = loaded[0]
    told = loaded[1]
    if told["missing_keys"]:
        names = sorted(told["missing_keys"])
        raise ModelFormatError(
            f"{len(names)} weights are missing in {folder}, {names[0]} among them. Get it again."
        )
    return model


def _eos_token_ids(model: PreTrainedModel, tokenizer: ChatTokenizer) -> frozenset[int]:
    told = getattr(model.generation_config, "eos_token_id", None)
    ids = {told} if isinstance(told, int) else set(told or ())
    return frozenset({*ids, *tokenizer.end_token_ids()})
