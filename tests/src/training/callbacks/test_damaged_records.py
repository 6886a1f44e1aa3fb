"""Records that cannot be read are named, counted and replaced, up to a limit."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from src.streaming.loader import REPLACEMENTS, STRIDE, StreamSource, read_or_replace
from src.streaming.schema.bucket import DamagedError
from src.training.callbacks.damaged_records import DamagedRecordsError
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyData, ToyLatents, train_config, video_module


class Reader:
    """A bucket of numbers, some of which cannot be read."""

    def __init__(self, size: int, damaged: set[int]) -> None:
        self.size, self.damaged = size, damaged

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> int:
        if index in self.damaged:
            raise DamagedError(f"chunk: cannot read record {index}")
        return index


def source(size: int, damaged: set[int]) -> StreamSource:
    dataset: Any = SimpleNamespace(readers={"1x8x8": Reader(size, damaged)})
    return StreamSource(dataset, ("1x8x8",))


def test_another_record_takes_the_place_of_a_damaged_one() -> None:
    found: list[str] = []
    size = 100
    other = (3 + STRIDE) % size
    records = [read_or_replace(source(size, {3}), bucket, 3, found) for bucket in ("1x8x8", "merged")]
    assert records == [other, other]
    assert found == ["chunk: cannot read record 3"] * 2
    assert read_or_replace(source(size, {3}), "1x8x8", 4, found) == 4
    assert len(found) == 2


def test_a_bucket_without_readable_records_ends_the_run() -> None:
    found: list[str] = []
    with pytest.raises(DamagedError):
        read_or_replace(source(20, set(range(20))), "1x8x8", 3, found)
    assert len(found) == REPLACEMENTS


class DamagedLatents(ToyLatents):
    """Each batch from step 1 on has left out one of two records."""

    def __getitem__(self, step: int) -> Any:
        batch = super().__getitem__(step)
        batch.damaged = (f"chunk: cannot read record {step % 2}",) if step else ()
        return batch


class DamagedData(ToyData):
    def _dataset(self) -> ToyLatents:
        return DamagedLatents(*self._rank_and_size())


def test_they_are_named_once_counted_and_limited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = train_config(max_steps=4, val_every=0, max_damaged_records=2)
    fit(video_module(config), DamagedData(4), config, tmp_path / "enough")
    lines = [f"left out: chunk: cannot read record {n}" for n in (1, 0)]
    assert capsys.readouterr().out.splitlines() == lines
    logged = [line.get("train/damaged_records") for line in read_metrics(tmp_path / "enough" / METRICS_FILE)]
    assert logged == [None, 1, 2, 2]
    config = train_config(max_steps=4, val_every=0, max_damaged_records=1)
    with pytest.raises(DamagedRecordsError) as error:
        fit(video_module(config), DamagedData(4), config, tmp_path / "limit")
    assert str(error.value) == (
        "step 3: 2 records cannot be read, train.max_damaged_records=1; "
        "one of them: chunk: cannot read record 0"
    )
