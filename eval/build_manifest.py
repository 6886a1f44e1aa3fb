"""Make a manifest: `python -m eval.build_manifest source=PATH out=manifest.jsonl [kind=...]`.

The manifest of a folder or CSV of films must lie in the folder that their paths are relative to; that of a
prompt list may lie anywhere.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from eval.core.manifest import Sample, iter_manifest, write_manifest
from eval.loaders.benchmarks import MINI, bench_mini, movie_gen_audio_bench, movie_gen_video_bench, vbench
from eval.loaders.media_files import from_csv, from_folder
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt

KINDS: dict[str, Callable[[str], Iterable[Sample]]] = {
    "folder": from_folder,
    "csv": from_csv,
    "movie_gen_video_bench": movie_gen_video_bench,
    "movie_gen_audio_bench": movie_gen_audio_bench,
    "vbench": vbench,
}


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What to read and where to write."""

    source: str = opt("???", "folder or file to read")
    kind: str = opt("folder", f"what it is: {', '.join(KINDS)}")
    out: str = opt("???", "JSONL manifest to write")
    system: str = opt("", "name of the system that made the films; empty leaves it as it is")
    mini: bool = opt(False, f"only a stratified subset of {MINI} prompts (or num)")
    num: int = opt(MINI, "size of the subset")
    seed: int = opt(0, "seed of the subset")

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.num < 1:
            raise ValueError(f"num: must be positive, got {self.num}")


def import_media(config: ImportConfig) -> int:
    """Write the manifest, check that it can be read again, and return its length."""
    samples = list(KINDS[config.kind](config.source))
    if config.mini:
        samples = bench_mini(samples, num=config.num, seed=config.seed)
    if config.system:
        samples = [replace(sample, system=config.system) for sample in samples]
    write_manifest(config.out, samples)
    return sum(1 for _ in iter_manifest(config.out))


def main(argv: list[str]) -> None:
    config = from_command_line(ImportConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(f"{import_media(config)} samples in {Path(config.out)}")
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
