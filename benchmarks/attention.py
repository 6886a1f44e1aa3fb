"""Compare attention kernels on this CPU: `python -m benchmarks.attention`.

CPU time per query in us, forward and forward + backward, all kernels interleaved in one process with one
thread, and the error of outputs and gradients with respect to float64 (relative, in the Euclidean norm).
Queries, keys and values are views of a fused product, as in the transformer. Use it to choose `attention` for
a CPU.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from benchmarks.cases import min_seconds
from src.core import cli, config
from src.core.fields import Config, opt
from src.flow.noise import torch_generator
from src.models.nn.attention import attention
from src.models.nn.config import AttentionBackend

KERNELS: tuple[AttentionBackend, ...] = ("sdpa", "matmul", "chunked")  # flash needs a GPU


@dataclass(frozen=True, kw_only=True)
class AttentionBenchConfig(Config):
    """Sizes and repetitions."""

    sizes: tuple[str, ...] = opt(
        ("128x18x18", "16x64x64", "1x256x256", "1x1024x77", "1x1024x1024", "1x4096x4096"),
        "samples x queries x keys",
    )
    heads: int = opt(6, "number of heads", ge=1)
    head_dim: int = opt(64, "dimension of a head", ge=1)
    dtype: Literal["float32", "bfloat16"] = opt("bfloat16", "dtype of queries, keys and values")
    repeats: int = opt(10, "rounds over all kernels, of which the minimum counts; the first warms up", ge=2)
    budget: float = opt(60.0, "CPU seconds per size after which no further round starts")

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            parts = size.split("x")
            if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
                raise ValueError(f"sizes must be SAMPLESxQUERIESxKEYS, such as 1x1024x77, got {size!r}")


class Case:
    """Inputs of one size, and the calls of each kernel on them."""

    def __init__(self, size: str, settings: AttentionBenchConfig) -> None:
        self.batch, self.queries, self.keys = map(int, size.split("x"))
        heads, dim, dtype = settings.heads, settings.head_dim, getattr(torch, settings.dtype)
        generator = torch_generator(0, "benchmarks.attention", self.batch, self.queries, self.keys)
        longest = max(self.queries, self.keys)
        fused = torch.randn(self.batch, longest, heads, 3, dim, generator=generator).to(dtype)
        q, k, v = fused.unbind(-2)
        self.inputs = q[:, : self.queries], k[:, : self.keys], v[:, : self.keys]
        self.gradient = torch.randn(self.batch, self.queries, heads, dim, generator=generator).to(dtype)

    def forward(self, kernel: AttentionBackend) -> Tensor:
        with torch.no_grad():
            return attention(*self.inputs, backend=kernel)

    def train(self, kernel: AttentionBackend, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Return output and gradients, in the inputs' dtype or another."""
        inputs = [each.detach().to(dtype or each.dtype).requires_grad_() for each in self.inputs]
        out = attention(*inputs, backend=kernel)
        return [out.detach(), *torch.autograd.grad(out, inputs, self.gradient.to(out.dtype))]

    def errors(self) -> dict[str, float]:
        """Return the maximum relative error of output and gradients by kernel."""
        exact = self.train("sdpa", torch.float64)

        def error(kernel: AttentionBackend) -> float:
            pairs = zip(self.train(kernel), exact, strict=True)
            return max(((value - true).norm() / true.norm()).item() for value, true in pairs)

        return {kernel: error(kernel) for kernel in KERNELS}


def main(argv: list[str]) -> None:
    """Print one row of the table for every size and kernel."""
    settings = config.from_command_line(AttentionBenchConfig, argv, __doc__)
    if settings is None:
        return
    torch.set_num_threads(1)
    print(
        f"{settings.dtype}, {settings.heads} heads of {settings.head_dim}; us per query, and relative error\n"
    )
    print(
        "| samples x queries x keys | kernel | forward | forward + backward | error |\n|---|---|---|---|---|"
    )
    for size in settings.sizes:
        case = Case(size, settings)
        calls = {
            f"{kernel}/{call.__name__}": partial(call, kernel)
            for kernel in KERNELS
            for call in (case.forward, case.train)
        }
        seconds, errors = min_seconds(calls, settings.repeats, settings.budget), case.errors()
        for kernel in KERNELS:
            times = [
                seconds[f"{kernel}/{phase}"] / (case.batch * case.queries) * 1e6
                for phase in ("forward", "train")
            ]
            print(
                f"| {size} | {kernel} | {times[0]:.2f} | {times[1]:.2f} | {errors[kernel]:.2g} |", flush=True
            )


if __name__ == "__main__":
    sys.exit(cli.run(main))
