"""Build a manifest: `python -m eval.build_manifest source=PATH out=manifest.jsonl [kind=...]`.

Media paths are relative to the manifest, so write it into the folder of the media; a manifest of prompts
alone may be anywhere.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from eval.core.manifest import Sample, iter_manifest, write_manifest
from eval.loaders.benchmarks import (
    MINI_SIZE,
    load_movie_gen_audio_bench,
    load_movie_gen_video_bench,
    load_vbench,
    stratified_subset,
)
from eval.loaders.media_files import load_csv, load_folder
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

LOADERS: dict[str, Callable[[str], Iterable[Sample]]] = {
    "folder": load_folder,
    "csv": load_csv,
    "movie_gen_video_bench": load_movie_gen_video_bench,
    "movie_gen_audio_bench": load_movie_gen_audio_bench,
    "vbench": load_vbench,
}


@dataclass(frozen=True, kw_only=True)
class BuildManifestConfig(Config):
    """Settings of `eval.build_manifest`."""

    source: str = opt("???", "folder or file to read")
    kind: str = opt("folder", "format of the source", choices=tuple(LOADERS))
    out: str = opt("???", "JSONL manifest to write")
    system: str = opt("", "name of the system that generated the media; empty keeps the source's")
    mini: bool = opt(False, f"only a stratified subset of {MINI_SIZE} prompts (or num)")
    num: int = opt(MINI_SIZE, "size of the subset", ge=1)
    seed: int = opt(0, "seed of the subset")


def build_manifest(config: BuildManifestConfig) -> int:
    """Write the manifest, validate it, and return its length."""
    samples = list(LOADERS[config.kind](config.source))
    if config.mini:
        samples = stratified_subset(samples, num=config.num, seed=config.seed)
    if config.system:
        samples = [replace(sample, system=config.system) for sample in samples]
    write_manifest(config.out, samples)
    return sum(1 for _ in iter_manifest(config.out))


def main(argv: list[str]) -> None:
    """Parse the command line and build the manifest."""
    config = from_command_line(BuildManifestConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(f"{build_manifest(config)} samples in {Path(config.out)}")
    except UnicodeDecodeError as error:
        raise UserError(f"{config.source}: not UTF-8, at byte {error.start}") from error
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
