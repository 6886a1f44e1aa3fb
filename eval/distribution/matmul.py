"""Scalar products of many rows with many, in a number format that the processor is fast in.

Legend: a [n, d], b [m, d] rows; u unit roundoff.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.distribution.feature_arrays import Array

SMALL = 2**28  # multiplications that are done in float64 within a hundredth of a second


def fast_type() -> torch.dtype:
    """bfloat16 where the CPU multiplies it in hardware, else float32."""
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def centred(rows: NDArray[np.floating], centre: Array, dtype: torch.dtype) -> Tensor:
    """Rows less the centre, subtracted in float64, in the format that they are multiplied in."""
    wide = dtype == torch.float64
    out = np.empty(rows.shape, np.float64 if wide else np.float32)
    np.subtract(rows, centre, out=out, casting="same_kind")
    return torch.from_numpy(out).to(dtype)


def products(a_nd: Tensor, b_md: Tensor) -> Tensor:
    """a b^T [n, m], at least float32."""
    if a_nd.dtype == torch.bfloat16:
        return (a_nd @ b_md.T).float()
    return torch.from_numpy(a_nd.numpy() @ b_md.numpy().T)  # its BLAS is the faster one on many CPUs


def product_error(dtype: torch.dtype, dim: int) -> float:
    """e such that every product of rows rounded to `dtype` is within e |a| |b| of the true one.

    Sums are float32's (Higham 2002, section 3.1): 16 roundings more than they have leave room for what is
    done with them in float32. bfloat16 rounds a, b and the product besides.
    """
    summed = 1.01 * (dim + 16) * 2.0**-24
    return summed if dtype == torch.float32 else summed + 1.01 * 3 * 2.0**-8
