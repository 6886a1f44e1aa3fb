"""Inner products of rows in the fastest number format of the CPU, with an error bound.

Legend: a [n, d], b [m, d] rows; u unit roundoff.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core.intervals import Array

SMALL = 2**28  # multiplications; float64 takes about 10 ms for them


def fast_dtype() -> torch.dtype:
    """Return bfloat16 if the CPU multiplies it in hardware, else float32."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def center_rows(rows: NDArray[np.floating], center: Array, dtype: torch.dtype) -> Tensor:
    """Return rows minus the center, subtracted in float64 and rounded to `dtype`."""
    wide = dtype == torch.float64
    out = np.empty(rows.shape, np.float64 if wide else np.float32)
    np.subtract(rows, center, out=out, casting="same_kind")
    return torch.from_numpy(out).to(dtype)


def row_products(a_nd: Tensor, b_md: Tensor) -> Tensor:
    """Return a b^T [n, m], in float32 or better."""
    if a_nd.dtype == torch.bfloat16:
        return (a_nd @ b_md.T).float()
    return torch.from_numpy(a_nd.numpy() @ b_md.numpy().T)  # NumPy's BLAS is faster than torch's on many CPUs


def product_error(dtype: torch.dtype, dim: int) -> float:
    """Return e such that each product of rows rounded to `dtype` is within e |a| |b| of the exact one.

    Sums are accumulated in float32 (Higham 2002, section 3.1); the bound counts 16 extra roundings for later
    float32 operations on the products. With bfloat16, a, b and the product are rounded as well.
    """
    summed = 1.01 * (dim + 16) * 2.0**-24
    return summed if dtype == torch.float32 else summed + 1.01 * 3 * 2.0**-8
