"""The device and the number format that an engine computes in, where it is not told."""

from __future__ import annotations

import torch

from agentspark.config import Dtype, EngineConfig

DTYPES: dict[Dtype, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def device_of(config: EngineConfig) -> str:
    """The device that was asked for, or a GPU if there is one."""
    return config.device or ("cuda" if torch.cuda.is_available() else "cpu")


def dtype_of(config: EngineConfig) -> Dtype:
    """The format that was asked for, or bfloat16 where the device computes in it, else float32.

    A processor without instructions for it converts every weight in every product, and has no
    packed kernels for it, which takes several times as long.
    """
    if config.dtype is not None:
        return config.dtype
    if torch.device(device_of(config)).type == "cpu":
        mkldnn = torch.backends.mkldnn.is_available()
        native = mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return "bfloat16" if native else "float32"
    return "bfloat16"
