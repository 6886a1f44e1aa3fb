"""Peak memory of the tiled autoencoder by length of the video: `python -m benchmarks.tae_memory`.

Frames are generated on demand and dropped after reconstruction, so constant memory means that the model holds
no full video. The table is printed and, with out=FOLDER, written there as tae_memory.md and tae_memory.json.
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

from benchmarks.cases import peak_mib, reset_peak, run_interleaved
from src.core import cli, config, provenance
from src.core.fields import Config, opt
from src.models.tae.config import TAEConfig, TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import reconstruct_stream

CHUNK = 8  # frames generated at once


@dataclass(frozen=True, kw_only=True)
class TAEMemoryBenchConfig(Config):
    """Lengths and sizes of the videos."""

    case: int = opt(0, "frames of the video in this process; 0: all lengths, one process each", ge=0)
    lengths: tuple[int, ...] = opt((16, 32, 64, 128, 256, 512), "frames of the videos", ge=0)
    widths: tuple[int, ...] = opt((32, 64, 128, 128), "channels of the four levels")
    size: int = opt(64, "side of the video in pixels", ge=1)
    tiling: TilingConfig = opt(TilingConfig(), "sizes of the tiles")
    out: str = opt("", "folder for the table; empty: only printed")

    def __post_init__(self) -> None:
        super().__post_init__()
        for frames in (self.case, *self.lengths):
            if frames % CHUNK:
                raise ValueError(f"lengths must be multiples of {CHUNK} frames, got {frames}")


def measure(settings: TAEMemoryBenchConfig) -> float:
    """Return the peak memory in MiB above the loaded model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = TAE(TAEConfig(channels=settings.widths, num_blocks=1)).eval()

    def chunks() -> Iterator[Tensor]:
        for _ in range(settings.case // CHUNK):
            yield torch.rand(1, 3, CHUNK, settings.size, settings.size) * 2 - 1

    reset_peak()
    loaded = peak_mib()
    with torch.inference_mode():
        num_frames = sum(chunk.shape[2] for chunk in reconstruct_stream(model, chunks(), settings.tiling))
    assert num_frames == settings.case
    return peak_mib() - loaded


def main(argv: list[str]) -> None:
    """Print one length as a line of JSON, or all of them as a table."""
    settings = config.from_command_line(TAEMemoryBenchConfig, argv, __doc__)
    if settings is None:
        return
    if settings.case:
        print(json.dumps({"mib": measure(settings)}))
        return
    results = run_interleaved("benchmarks.tae_memory", [str(n) for n in settings.lengths], argv, rounds=1)
    table = Table("frames", "peak MiB above the model")
    for frames, numbers in results.items():
        table.add_row(frames, f"{numbers['mib']:.0f}")
    Console(highlight=False).print(table)
    if settings.out:
        write(Path(settings.out), settings, {int(n): row["mib"] for n, row in results.items()})


def write(out: Path, settings: TAEMemoryBenchConfig, mib: dict[int, float]) -> None:
    """Write the table as Markdown and as JSON, with the provenance of the numbers."""
    out.mkdir(parents=True, exist_ok=True)
    record = {"settings": config.to_dict(settings), "mib": mib, "provenance": provenance.collect()}
    (out / "tae_memory.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    lines = ["| frames | peak MiB above the model |", "|---|---|"]
    lines += [f"| {frames} | {value:.0f} |" for frames, value in mib.items()]
    (out / "tae_memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main))
