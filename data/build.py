"""Build the data sets that a config describes: inputs, work units, records, gathered data sets."""

import json
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.config import PrepareConfig
from data.sources.files import FilesSource
from data.sources.samples import SamplesSource
from data.sources.world import WorldSource
from data.work_units import Input, RecordSource, WorkUnit, process_units, split_inputs
from src.core import config, provenance
from src.core.progress import progress
from src.streaming.schema.bucket import DataError
from src.streaming.schema.cache_keys import stable_hash
from src.streaming.schema.dataset_index import DatasetInfo, write_json
from src.streaming.schema.writer import PixelWriter


def make_source(settings: PrepareConfig) -> RecordSource:
    """Return the source that a config names."""
    if settings.source == "files":
        return FilesSource(settings.files)
    if settings.source == "samples":
        return SamplesSource(settings.samples)
    return WorldSource(dict(settings.world))


def prepare(settings: PrepareConfig, console: Console | None = None) -> dict[str, DatasetInfo]:
    """Prepare every split that has inputs; return the data sets by split.

    Raises:
        DataError: no input, none that can be used, another data set in the directory, a directory in use,
            disk full.
    """
    console = console or Console()
    source = make_source(settings)
    splits = {name: items for name, items in source.splits().items() if items}
    if not splits:
        raise DataError(f"nothing to prepare: source={settings.source} has no inputs")
    infos = {}
    for split, items in splits.items():
        infos[split] = _prepare_split(settings, source, split, items, console)
    return infos


def _prepare_split(
    settings: PrepareConfig, source: RecordSource, split: str, items: list[Input], console: Console
) -> DatasetInfo:
    root = Path(settings.out) / split
    slices = split_inputs(source, items, settings.part_size)
    version = source.version()
    key_parts = {"source": settings.source, "version": version, "parts": len(slices)}
    key_parts["chunk_megabytes"] = settings.chunk_megabytes
    key = stable_hash(key_parts | {"inputs": stable_hash(items)})
    chunk_bytes = settings.chunk_megabytes << 20
    with PixelWriter(root, key, chunk_bytes=chunk_bytes, overwrite=settings.overwrite) as writer:
        finished = writer.complete
        if not finished:
            missing = writer.missing(len(slices))
            before = len(items) - sum(len(slices[n]) for n in missing)
            units = [WorkUnit(root, n, slices[n], writer.chunk_bytes) for n in missing]
            with progress(f"{root}", len(items), before, console) as done:
                process_units(source, units, settings.num_workers, done)
        info = writer.finish(len(slices), key_parts | {"inputs": len(items)})
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
    """Return a table of the records and size of each bucket, and of rejected inputs by reason."""
    table = Table("bucket", "records", "MB")
    for name, bucket in info.buckets.items():
        table.add_row(name, str(bucket.records), f"{sum(c.bytes for c in bucket.chunks) / 1e6:.1f}")
    lines = (root / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    for reason, count in sorted(Counter(json.loads(line)["reason"] for line in lines).items()):
        table.add_row(f"rejected: {reason}", str(count), "")
    return table
