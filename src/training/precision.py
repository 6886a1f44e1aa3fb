"""Number format of the computation."""

from contextlib import AbstractContextManager

import torch

from src.training.config import Precision


def has_bf16(device_type: str) -> bool:
    """Return whether the device multiplies bf16 matrices in hardware."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_fp16(device_type: str) -> bool:
    """Return whether the device multiplies float16 matrices in hardware."""
    if device_type == "cuda":
        return True
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_fp16") or found.get("amx_fp16"))


def resolve(precision: Precision, device_type: str) -> Precision:
    """Return the precision, or fp32 where the device does not support it."""
    supported = {"fp32": True, "bf16": has_bf16(device_type), "fp16": has_fp16(device_type)}
    return precision if supported[precision] else "fp32"


def half_dtype(precision: Precision) -> torch.dtype | None:
    """Return the dtype of matrix products; None for fp32."""
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[None]:
    """Return a context with matrix products and convolutions in half precision, the rest in fp32."""
    dtype = half_dtype(precision)
    return torch.autocast(device_type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
