"""Parts of all cases: the device, its clock and peak memory, rows of results."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import peak_mib, reset_peak
from benchmarks.gpu_check.sizes import PEAK_TFLOPS, Sizes


@dataclass(frozen=True)
class Row:
    """One number; `value` is None where there is only a note."""

    what: str
    value: float | None
    unit: str = ""
    note: str = ""


Rows = Iterator[Row]
Case = Callable[["Bench"], Rows]


@dataclass
class Bench:
    """Device and sizes of all cases, and what earlier cases have measured for later ones."""

    device: torch.device
    sizes: Sizes
    compile_backend: str = "inductor"
    attainable_tflops: float | None = None  # the best matrix product in bf16, measured

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def synchronize(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, call: Callable[[], Any], repeats: int | None = None, warm_ups: int = 2) -> float:
        """Return the minimum wall-clock time of a call; the device is idle before and after."""
        times = []
        for index in range(warm_ups + (repeats or self.sizes.repeats)):
            self.synchronize()
            started = time.perf_counter()
            call()
            self.synchronize()
            if index >= warm_ups:
                times.append(time.perf_counter() - started)
        return min(times)

    def reset_peak(self) -> None:
        gc.collect()
        if self.is_cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            reset_peak()

    def peak_gb(self) -> float:
        """Return the peak since `reset_peak` in 1e9 bytes: of tensors on a GPU, of the process on a CPU."""
        if self.is_cuda:
            return torch.cuda.max_memory_allocated(self.device) / 1e9
        return peak_mib() * 2**20 / 1e9

    def randn(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, device=self.device).to(dtype)

    def data_sheet_tflops(self) -> float | None:
        """Return the peak rate in bf16 of a device that the table names."""
        if not self.is_cuda:
            return None
        words = torch.cuda.get_device_name(self.device).lower().replace("-", " ").split()
        return next((rate for name, rate in PEAK_TFLOPS.items() if name in words), None)

    def utilization(self, tflops: float) -> Rows:
        """Yield the rate, and its fraction of the measured and of the data sheet's peak (MFU)."""
        yield Row("rate", tflops, "TFLOP/s", "model FLOPs, by formula")
        if self.attainable_tflops:
            note = f"of {self.attainable_tflops:.3g} TFLOP/s, the best measured product"
            yield Row("of the attainable peak", 100 * tflops / self.attainable_tflops, "%", note)
        peak = self.data_sheet_tflops()
        if peak:
            yield Row("MFU", 100 * tflops / peak, "%", f"of {peak:g} TFLOP/s, data sheet")


def relative(found: Tensor, expected: Tensor) -> float:
    """Return |found - expected| / |expected| in double precision."""
    exact = expected.detach().double()
    return float((found.detach().double() - exact).norm() / exact.norm())
