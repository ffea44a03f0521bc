"""Turning a GGUF file into a model folder: dequantised bf16 safetensors and a tokenizer."""

from __future__ import annotations

import struct
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.errors import ModelFormatError, UnsupportedModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Pre-tokenizers that split every digit off before the GPT-2 rule; transformers reads these files
# with the GPT-2 rule alone, which merges white space before a digit ("\n\n1") differently.
_DIGITS_FIRST = frozenset(
    {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
)


def convert_gguf(source: Path, folder: Path) -> None:
    """Write the model in the GGUF file ``source`` into the existing ``folder``.

    All weights become plain bf16. Raises ``ModelFormatError`` for a broken file,
    ``UnsupportedModelError`` for an architecture that transformers does not read from GGUF, and
    ``OSError`` when ``folder`` cannot be written.
    """
    from safetensors import SafetensorError

    check_magic(source)
    model = _read_model(source)
    _drop_quantization(model, source)
    tokenizer = _read_tokenizer(source)
    try:
        model.save_pretrained(folder)
    except SafetensorError as error:  # how safetensors says that it could not write
        raise OSError(str(error)) from error
    tokenizer.save_pretrained(folder)


def check_magic(source: Path) -> None:
    """Raise ``ModelFormatError`` unless ``source`` starts like a GGUF file of version 2 or 3."""
    with source.open("rb") as stream:
        head = stream.read(24)
    if len(head) < 24 or head[:4] != b"GGUF" or struct.unpack_from("<I", head, 4)[0] not in (2, 3):
        raise ModelFormatError(
            f"{source} is not a GGUF file of version 2 or 3. Give a .gguf file or a folder with "
            "config.json and safetensors."
        )


def _read_model(source: Path) -> PreTrainedModel:
    import torch
    import transformers

    more: dict[str, Any] = {}
    if hasattr(transformers, "GgufConfig"):  # newer releases may keep blocks packed otherwise
        more["quantization_config"] = transformers.GgufConfig(dequantize=True)
    try:
        model: PreTrainedModel = transformers.AutoModelForCausalLM.from_pretrained(
            str(source.parent),
            gguf_file=source.name,
            dtype=torch.bfloat16,
            local_files_only=True,
            trust_remote_code=False,
            **more,
        )
    except MemoryError:
        raise
    except Exception as error:
        # The reader has no error type of its own: a bad file surfaces as whatever broke.
        if "architecture" in str(error) and "supported" in str(error):
            raise UnsupportedModelError(
                f"{source.name} cannot be converted: {error} Choose a model of another "
                "architecture, or its safetensors release."
            ) from error
        raise _broken(source, error) from error
    return model


def _drop_quantization(model: PreTrainedModel, source: Path) -> None:
    import torch

    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)
    odd = [name for name, weight in model.named_parameters() if weight.dtype != torch.bfloat16]
    if odd or hasattr(model.config, "quantization_config"):
        raise UnsupportedModelError(
            f"{source.name} was read with weights that stay quantised ({', '.join(odd[:3])}): "
            "use the model's safetensors release."
        )


def _read_tokenizer(source: Path) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(source.parent), gguf_file=source.name, local_files_only=True
        )
    except Exception as error:
        raise _broken(source, error) from error
    if _string_field(source, "tokenizer.ggml.pre") in _DIGITS_FIRST:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    tool_use = _string_field(source, "tokenizer.chat_template.tool_use")
    if tool_use is not None and isinstance(tokenizer.chat_template, str):
        # transformers reads the one without a name alone.
        tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": tool_use}
    return tokenizer


def _string_field(source: Path, name: str) -> str | None:
    """A string of the file's metadata: its name, the type number 8, a length and the text."""
    head = name.encode() + struct.pack("<I", 8)
    with source.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        at = data.find(head)
        if at < 0:
            return None
        at += len(head)
        (length,) = struct.unpack_from("<Q", data, at)
        return data[at + 8 : at + 8 + length].decode("utf-8", "replace")


def _broken(source: Path, error: Exception) -> ModelFormatError:
    return ModelFormatError(
        f"{source} cannot be read; it may be truncated ({type(error).__name__}: {error}). "
        "Download it again."
    )
