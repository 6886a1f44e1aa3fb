"""Peak memory of a film through the tiled autoencoder, by its length: `python -m benchmarks.tae_memory`.

Frames are made as they are asked for and dropped as they come out, so a flat row means that no film is held.
The table is printed and, with out=FOLDER, written there as tae_memory.md and tae_memory.json.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.cases import interleaved, peak_mib
from src.core import cli, config, provenance
from src.core.fields import opt
from src.models.tae.config import TAEConfig, TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import reconstruct_stream

PIECE = 8  # frames that are made together


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """Which lengths, at what size."""

    case: int = opt(0, "frames of the film in this process; 0: all lengths, one process each")
    lengths: tuple[int, ...] = opt((16, 32, 64, 128, 256, 512), "frames of the films")
    widths: tuple[int, ...] = opt((32, 64, 128, 128), "channels of the four levels")
    size: int = opt(64, "side of the film in pixels")
    tiling: TilingConfig = opt(TilingConfig(), "tiles")
    out: str = opt("", "folder for the table; empty: it is printed only")

    def __post_init__(self) -> None:
        for frames in (self.case, *self.lengths):
            if frames % PIECE or frames < 0:
                raise ValueError(f"lengths must be multiples of {PIECE} frames, got {frames}")


def measure(settings: BenchConfig) -> float:
    """MiB above the loaded model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = TAE(TAEConfig(widths=settings.widths, blocks=1)).eval()

    def pieces() -> Iterator[Tensor]:
        for _ in range(settings.case // PIECE):
            yield torch.rand(1, 3, PIECE, settings.size, settings.size) * 2 - 1

    loaded = peak_mib()
    with torch.inference_mode():
        count = sum(made.shape[2] for made in reconstruct_stream(model, pieces(), settings.tiling))
    assert count == settings.case
    return peak_mib() - loaded


def main(argv: list[str]) -> None:
    """One length as a line of JSON, or all of them as a table."""
    settings = config.from_command_line(BenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps({"mib": measure(settings)}))
        return
    found = interleaved("benchmarks.tae_memory", [str(n) for n in settings.lengths], argv, rounds=1)
    table = Table("frames", "peak MiB above the model")
    for frames, numbers in found.items():
        table.add_row(frames, f"{numbers['mib']:.0f}")
    Console(highlight=False).print(table)
    if settings.out:
        write(Path(settings.out), settings, {int(n): row["mib"] for n, row in found.items()})


def write(out: Path, settings: BenchConfig, mib: dict[int, float]) -> None:
    """The table for people and for programs, with what it was measured on."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"settings": config.to_dict(settings), "mib": mib, "provenance": provenance.collect()}
    (out / "tae_memory.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    lines = ["| frames | peak MiB above the model |", "|---|---|"]
    lines += [f"| {frames} | {value:.0f} |" for frames, value in mib.items()]
    (out / "tae_memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
