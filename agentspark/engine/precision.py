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

    A processor without instructions for it converts every weight in every product, which takes
    twice as long, several times where there are no packed kernels. There weights are kept in
    float16 if it has the kernels for that, else in float32. Raises ``ConfigError`` where float16
    is asked for and cannot be had.
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
    if not on_cpu or _cpu_computes_bfloat16():
        return "bfloat16"
    return "float16" if half_rows() else "float32"


def _cpu_computes_bfloat16() -> bool:
    """Whether torch has kernels for it that use the processor's own instructions."""
    if not torch.backends.mkldnn.is_available():
        return False
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    # oneDNN takes it with any AVX-512, and converts where there is no more than that.
    if not torch.cpu._is_avx512_supported():
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
