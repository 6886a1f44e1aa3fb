"""Attention kernels beside each other on this CPU: `python -m benchmarks.attention`.

us of CPU time for a query, forward and forward and backward, all kernels in turn in one process with one
thread, and how far outputs and gradients are from those of float64 (relative, in the Euclidean norm).
Queries, keys and values are views of a fused product, as in the transformer. It tells which `attention`
suits a CPU.
"""

import sys
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmarks.cases import check_turns, in_turn
from src.core import cli, config
from src.core.fields import opt
from src.flow.noise import torch_generator
from src.models.nn.attention import attention

KERNELS = ("sdpa", "matmul", "chunked")  # flash needs a GPU


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is measured, and how often."""

    sizes: tuple[str, ...] = opt(
        ("128x18x18", "16x64x64", "1x256x256", "1x1024x77", "1x1024x1024", "1x4096x4096"),
        "samples x queries x keys",
    )
    heads: int = opt(6, "heads of every sample")
    head_dim: int = opt(64, "dimension of a head")
    dtype: str = opt("bfloat16", "float32 or bfloat16")
    repeats: int = opt(10, "turns of all kernels, of which the least counts; at least 2")
    budget: float = opt(60.0, "CPU seconds of a size after which there is no further turn")

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype: {self.dtype!r} is neither float32 nor bfloat16")
        check_turns(self.repeats)
        for size in self.sizes:
            parts = size.split("x")
            if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
                raise ValueError(f"sizes: {size!r} is not SAMPLESxQUERIESxKEYS, such as 1x1024x77")


class Case:
    """Tensors of one size, and what each kernel makes of them."""

    def __init__(self, size: str, settings: BenchConfig) -> None:
        self.batch, self.queries, self.keys = map(int, size.split("x"))
        heads, dim, dtype = settings.heads, settings.head_dim, getattr(torch, settings.dtype)
        draw = torch_generator(0, "benchmarks.attention", self.batch, self.queries, self.keys)
        longest = max(self.queries, self.keys)
        fused = torch.randn(self.batch, longest, heads, 3, dim, generator=draw).to(dtype)
        q, k, v = fused.unbind(-2)
        self.inputs = q[:, : self.queries], k[:, : self.keys], v[:, : self.keys]
        self.gradient = torch.randn(self.batch, self.queries, heads, dim, generator=draw).to(dtype)

    def forward(self, kernel: str) -> Tensor:
        with torch.no_grad():
            return attention(*self.inputs, backend=kernel)

    def train(self, kernel: str, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Output and gradients, in the inputs' type or another."""
        inputs = [each.detach().to(dtype or each.dtype).requires_grad_() for each in self.inputs]
        out = attention(*inputs, backend=kernel)
        return [out.detach(), *torch.autograd.grad(out, inputs, self.gradient.to(out.dtype))]

    def errors(self) -> dict[str, float]:
        """By kernel, the largest of output and gradients."""
        exact = self.train("sdpa", torch.float64)

        def error(kernel: str) -> float:
            found = zip(self.train(kernel), exact, strict=True)
            return max(((value - true).norm() / true.norm()).item() for value, true in found)

        return {kernel: error(kernel) for kernel in KERNELS}


def main(argv: list[str]) -> None:
    """A line of the table for every size and kernel."""
    settings = config.from_command_line(BenchConfig, argv, __doc__)
    if settings is None:
        return
    torch.set_num_threads(1)
    print(
        f"{settings.dtype}, {settings.heads} heads of {settings.head_dim}; us a query, and relative error\n"
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
        found, errors = in_turn(calls, settings.repeats, settings.budget), case.errors()
        for kernel in KERNELS:
            times = [
                found[f"{kernel}/{phase}"] / (case.batch * case.queries) * 1e6
                for phase in ("forward", "train")
            ]
            print(
                f"| {size} | {kernel} | {times[0]:.2f} | {times[1]:.2f} | {errors[kernel]:.2g} |", flush=True
            )


if __name__ == "__main__":
    sys.exit(cli.run(main))
