"""Number format of the computation."""

from contextlib import AbstractContextManager

import torch

from src.training.config import Precision


def has_bf16(device_type: str) -> bool:
    """Return whether the device multiplies bf16 matrices in hardware."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def resolve(precision: Precision, device_type: str) -> Precision:
    """Return the precision, or fp32 where the device does not support it."""
    return "bf16" if precision == "bf16" and has_bf16(device_type) else "fp32"


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[None]:
    """Return a context with matrix products and convolutions in bf16, the rest and all weights in fp32."""
    return torch.autocast(device_type, dtype=torch.bfloat16, enabled=precision == "bf16")
