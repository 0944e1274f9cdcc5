"""The number format in which this machine multiplies matrices fastest."""

from contextlib import AbstractContextManager

import torch


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor has instructions for it (about twice as fast as float32), else float32."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def fast_matrices(device: torch.device) -> AbstractContextManager:
    """Context in which matrix products and convolutions are computed in `fast_dtype`; weights stay as they are."""
    dtype = fast_dtype(device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)
