"""Measure encoding, decoding and a training step (L1) of autoencoders, and put the cases into a table.

CPU time of one thread, and peak memory above the loaded model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.cases import cpu_seconds, peak_mib, reset_peak, run_interleaved
from benchmarks.record import BenchmarkRecord
from src.core import config

PHASES = ("encode", "decode", "train")


@dataclass(frozen=True)
class Autoencoder:
    """A network with a common interface: what it encodes to its code, and back."""

    net: nn.Module
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]


def measure_phases(
    case: str, model: Autoencoder, x: Tensor, *, repeats: int, warm_ups: int, size: float
) -> dict[str, Any]:
    """Return the parameters, and for each phase CPU seconds over `size` and MiB above the loaded model.

    Raises:
        ValueError: the reconstruction has another shape.
    """
    model.net.eval()
    reset_peak()
    loaded = peak_mib()
    results: dict[str, Any] = {"parameters": sum(p.numel() for p in model.net.parameters())}

    def add(phase: str, call: Callable[[], Any]) -> None:
        results[phase] = cpu_seconds(call, repeats, warm_ups) / size
        results[f"{phase}_mib"] = peak_mib() - loaded

    with torch.no_grad():
        code = model.encode(x)
        shape = tuple(model.decode(code).shape)
        if shape != tuple(x.shape):
            raise ValueError(f"{case} returned shape {shape}, expected {tuple(x.shape)}")
        add("encode", lambda: model.encode(x))
        add("decode", lambda: model.decode(code))
    model.net.train()

    def step() -> None:
        (model.decode(model.encode(x)) - x).abs().mean().backward()
        model.net.zero_grad(set_to_none=True)

    add("train", step)
    return results


def build_table(results: dict[str, dict[str, Any]], baseline: str, unit: str, digits: int) -> Table:
    """Return a table of the numbers and their ratios to the baseline."""
    reference = results[baseline]
    table = Table("model", "parameters", *(f"{p} {unit}" for p in PHASES), *(f"{p} MiB" for p in PHASES))
    for case, numbers in results.items():
        cells = [f"{numbers[p]:,.{digits}f} ({numbers[p] / reference[p]:.2f}x)" for p in PHASES]
        cells += [f"{numbers[f'{p}_mib']:,.0f}" for p in PHASES]
        table.add_row(case, f"{numbers['parameters'] / 1e6:.1f} M", *cells)
    return table


def run_cases(
    module: str, cases: tuple[str, ...], settings: Any, argv: list[str], library: str
) -> dict[str, dict[str, Any]]:
    """Measure all cases in processes of their own, interleaved; numbers go to `settings.out`."""
    fixed = {k: v for k, v in config.to_dict(settings).items() if k not in ("case", "rounds", "out")}
    record = BenchmarkRecord.open(settings.out, fixed, (library,))
    return run_interleaved(module, list(cases), argv, settings.rounds, record)


def print_table(table: Table, baseline: str, out: str, note: str = "") -> None:
    """Print the table and what its ratios are to."""
    console = Console(highlight=False)
    console.print(table)
    if note:
        console.print(note, soft_wrap=True)
    console.print(f"ratios to {baseline}; differences below 10 % are noise: {out}", soft_wrap=True)
