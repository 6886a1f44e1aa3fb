"""Build the data sets that a config describes: inputs, work units, records, gathered data sets, data card."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from data.closing_table import closing_table
from data.config import PrepareConfig
from data.data_card import write_card
from data.ray_units import process_units_on_ray
from data.sources.audio import AudioSource
from data.sources.files import FilesSource
from data.sources.samples import SamplesSource
from data.sources.vizdoom import VizdoomSource
from data.sources.world import WorldSource
from data.work_units import Input, RecordSource, WorkUnit, process_units, split_inputs
from src.core import config, provenance
from src.core.progress import progress
from src.streaming.schema.bucket import DataError, Kind
from src.streaming.schema.cache_keys import stable_hash
from src.streaming.schema.dataset_index import DatasetInfo, write_json
from src.streaming.schema.writer import DatasetWriter


def make_source(settings: PrepareConfig) -> RecordSource:
    """Return the source that a config names."""
    if settings.source == "files":
        return FilesSource(settings.files)
    if settings.source == "samples":
        return SamplesSource(settings.samples)
    if settings.source == "audio":
        return AudioSource(settings.audio)
    if settings.source == "vizdoom":
        return VizdoomSource(settings.vizdoom)
    return WorldSource(dict(settings.world))


def prepare(settings: PrepareConfig, console: Console | None = None) -> dict[str, DatasetInfo]:
    """Prepare every split that has inputs; return the data sets by split.

    With `dry_run` all is read and cut as usual, in a temporary directory that never holds more than the
    work units in progress; the tables are the same and nothing is written.

    Raises:
        DataError: no input, none that can be used, another data set in the directory, a directory in use,
            disk full.
    """
    console = console or Console()
    source = make_source(settings)
    splits = {name: items for name, items in source.splits().items() if items}
    for note in source.notes():
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    if not splits:
        raise DataError(f"nothing to prepare: source={settings.source} has no inputs")
    with _output_folder(settings) as out:
        infos = {s: _prepare_split(settings, source, s, items, out, console) for s, items in splits.items()}
        if not settings.dry_run:
            write_card(settings, infos, {split: len(items) for split, items in splits.items()})
    return infos


@contextmanager
def _output_folder(settings: PrepareConfig) -> Iterator[Path]:
    if not settings.dry_run:
        yield Path(settings.out)
        return
    with TemporaryDirectory(prefix="dry_run_") as folder:
        yield Path(folder)


def _prepare_split(
    settings: PrepareConfig, source: RecordSource, split: str, items: list[Input], out: Path, console: Console
) -> DatasetInfo:
    root, title = out / split, f"{Path(settings.out) / split}"
    slices = split_inputs(source, items, settings.part_size)
    version = source.version()
    key_parts = {"source": settings.source, "version": version, "parts": len(slices)}
    key_parts["chunk_megabytes"] = settings.chunk_megabytes
    key = stable_hash(key_parts | {"inputs": stable_hash(items)})
    chunk_bytes = settings.chunk_megabytes << 20
    kind: Kind = "audio" if settings.source == "audio" else "pixels"
    with DatasetWriter(root, kind, key, chunk_bytes=chunk_bytes, overwrite=settings.overwrite) as writer:
        finished = writer.complete
        if not finished:
            missing = writer.missing(len(slices))
            before = len(items) - sum(len(slices[n]) for n in missing)
            units = [WorkUnit(root, n, slices[n], writer.chunk_bytes, settings.dry_run) for n in missing]
            with progress(title, len(items), before, console) as done:
                if settings.engine == "ray":
                    process_units_on_ray(source, units, settings.ray_address, done)
                else:
                    process_units(source, units, settings.num_workers, done)
        info = writer.finish(len(slices), key_parts | {"inputs": len(items)})
    if finished:
        console.print(f"{title}: already prepared", soft_wrap=True, markup=False)
    else:
        write_json(root / "provenance.json", provenance.collect() | {"config": config.to_dict(settings)})
        ending = " (dry run: nothing was written)" if settings.dry_run else ""
        console.print(f"{title}: {info.records} records{ending}", soft_wrap=True, markup=False)
        console.print(closing_table(root, info))
    if info.records == 0:
        reasons = "reasons: the table above" if settings.dry_run else f"reasons: {root / 'rejected.jsonl'}"
        raise DataError(f"{title}: not one of {len(items)} inputs was usable; {reasons}")
    return info
