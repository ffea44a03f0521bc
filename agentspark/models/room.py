"""Whether a target's weights fit in the memory that is free, asked before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from agentspark.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def check_room(
    model: PreTrainedModel, dtype: torch.dtype | None, name: str, *, half: bool = False
) -> None:
    """Raise ``ConfigError`` where the weights of ``model`` take more memory than is free.

    ``model`` may be on the meta device; ``dtype`` ``None`` is its own. ``half`` says that its
    linear layers are to be packed in float16 and all else is to be in float32. Weights are read
    into main memory on their way to a GPU too. Reading them all the same would make the machine
    swap, or end the process without a word.
    """
    need = sum(
        weight.numel() * (dtype or weight.dtype).itemsize
        for weight in model.parameters()  # tied ones once
    )
    if half:
        need = max(need, _half_bytes(model))
    free = psutil.virtual_memory().available
    if need <= free:
        return
    wide = not half and (dtype or model.dtype).itemsize > 2
    advice = "dtype bfloat16, which takes half of that, " if wide else ""
    format_name = "float16" if half else str(dtype or model.dtype).removeprefix("torch.")
    raise ConfigError(
        f"{name} takes {need / 2**30:.1f} GiB as {format_name}, and {free / 2**30:.1f} GiB of "
        f"memory are free. Choose {advice}a smaller model, or end other programs."
    )


def _half_bytes(model: PreTrainedModel) -> int:
    """The weights' bytes once packed: a head tied to the embedding is there in both formats."""
    from torch import nn

    linear = [layer.weight for layer in model.modules() if type(layer) is nn.Linear]
    packed = {id(weight) for weight in linear} - {id(model.get_input_embeddings().weight)}
    wide = sum(weight.numel() for weight in model.parameters() if id(weight) not in packed)
    return 2 * sum(weight.numel() for weight in linear) + 4 * wide
