"""The device and the number format of an engine, where it is not told."""

from __future__ import annotations

import torch

from agentspark.config import Dtype, EngineConfig
from agentspark.errors import ConfigError
from agentspark.models.half import half_rows

# What is computed in; float16 is the format of weights only.
DTYPES: dict[Dtype, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float32,
    "float32": torch.float32,
}


def device_of(config: EngineConfig) -> str:
    """The device that was asked for, or a GPU if there is one."""
    return config.device or ("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(config: EngineConfig) -> Dtype:
    """The format that was asked for, or bfloat16 where the device computes in it.

    A processor without instructions for it converts every weight in every product, and has no
    packed kernels for it, which takes several times as long. There weights are kept in float16 if
    it has the kernels for that, else in float32. Raises ``ConfigError`` where float16 is asked for
    and cannot be had.
    """
    # A device that is not known is the loader's to refuse.
    on_cpu = device_of(config).partition(":")[0] == "cpu"
    if config.dtype == "float16" and not (on_cpu and half_rows()):
        raise ConfigError(
            "dtype float16 keeps weights for the matrix kernels of x86 processors, which are not "
            "here: use bfloat16 or float32."
        )
    if config.dtype is not None:
        return config.dtype
    if not on_cpu or (
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    ):
        return "bfloat16"
    return "float16" if half_rows() else "float32"
