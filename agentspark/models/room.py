"""Whether a target's weights fit in the memory that is free, asked before they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from agentspark.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def check_room(model: PreTrainedModel, dtype: torch.dtype | None, name: str) -> None:
    """Raise ``ConfigError`` where the weights of ``model`` take more memory than is free.

    ``model`` may be on the meta device; ``dtype`` ``None`` is its own. Weights are read into main
    memory on their way to a GPU too. Reading them all the same would make the machine swap, or end
    the process without a word.
    """
    need = sum(
        weight.numel() * (dtype or weight.dtype).itemsize
        for weight in model.parameters()  # tied ones once
    )
    free = psutil.virtual_memory().available
    if need <= free:
        return
    wide = (dtype or model.dtype).itemsize > 2
    half = "dtype bfloat16, which takes half of that, " if wide else ""
    raise ConfigError(
        f"{name} takes {need / 2**30:.1f} GiB as {str(dtype or model.dtype).removeprefix('torch.')}"
        f", and {free / 2**30:.1f} GiB of memory are free. Choose {half}a smaller model, or end "
        "other programs."
    )
