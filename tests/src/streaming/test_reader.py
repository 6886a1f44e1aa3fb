"""Every way a data set can be broken is told in one line that names the file."""

import json
import pickle
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from litdata import StreamingDataset

from src.streaming.chunk_sources import LocalChunks
from src.streaming.reader import BucketReader, Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.schema.dataset_index import BucketInfo
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import clip, write_pixels


@pytest.fixture
def broken(toy: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(toy, tmp_path / "set")


def one_line(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_reads_any_record_of_any_chunk(toy: Path) -> None:
    dataset = Dataset(toy)
    assert {b.name: n for b, n in dataset.buckets.items()} == {"1x8x8": 23, "4x8x8": 47}
    for i in (46, 0, 23, 9, 10, 46):
        expected = clip(f"4x8x8/{i:04d}", 4, 8, 8)
        assert dataset.pixels("4x8x8", i).id == expected.id
        assert torch.equal(dataset.pixels("4x8x8", i).video_TCHW, expected.video_TCHW)
    with pytest.raises(IndexError):
        dataset.pixels("4x8x8", 47)


def test_a_bucket_is_a_data_set_for_litdata_alone(toy: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = StreamingDataset(str(toy / "4x8x8"))
        assert len(dataset) == 47
        item = dataset[12]
    assert torch.equal(item["video"], clip("4x8x8/0012", 4, 8, 8).video_TCHW)
    assert json.loads(item["meta"])["captions"][0] == "caption 0 of 4x8x8/0012"


def test_survives_pickling_after_use(toy: Path) -> None:
    dataset = Dataset(toy)
    first = dataset.pixels("1x8x8", 3).id
    assert pickle.loads(pickle.dumps(dataset)).pixels("1x8x8", 3).id == first


def test_more_chunks_than_open_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.streaming.chunk_items.OPEN_CHUNKS", 2)
    dataset = Dataset(write_pixels(tmp_path / "set", {(4, 8, 8): 30}, unit_size=3))
    order = [0, 29, 5, 14, 0, 23, 29, 8] * 3
    assert [dataset.pixels("4x8x8", i).id[-2:] for i in order] == [f"{i:02d}" for i in order]


def test_nothing_there(tmp_path: Path, toy: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"no data set here.*python -m data.prepare CONFIG, or latents with: python -m src.train",
    ):
        Dataset(tmp_path)
    with pytest.raises(DataError, match=f"did you mean {toy}"):
        Dataset(toy.parent)


def test_empty_data_set(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k") as writer:
        with writer.part(0):
            pass
        writer.finish(1)
    with pytest.raises(DataError, match=r"empty data set \(0 records\); see .*rejected.jsonl"):
        Dataset(tmp_path / "set")


@pytest.mark.parametrize("name", ["dataset.json", "4x8x8/index.json"])
@pytest.mark.parametrize("text", [b"", b'{"chunks": [', b"[1]", b"\xff\xfe"])
def test_truncated_json(broken: Path, name: str, text: bytes) -> None:
    (broken / name).write_bytes(text)
    with pytest.raises(DataError) as error:
        Dataset(broken)
    assert str(broken / name) in one_line(error)


def test_another_schema(broken: Path) -> None:
    raw = json.loads((broken / "dataset.json").read_text())
    (broken / "dataset.json").write_text(json.dumps(raw | {"schema": 99}))
    with pytest.raises(DataError, match="written with schema 99, this code reads 1"):
        Dataset(broken)


def test_missing_chunk(broken: Path) -> None:
    (broken / "4x8x8" / "chunk-1-0.bin").unlink()
    with pytest.raises(DataError, match=r"4x8x8/chunk-1-0.bin: chunk is missing"):
        Dataset(broken)


def test_truncated_chunk(broken: Path) -> None:
    chunk = broken / "4x8x8" / "chunk-1-0.bin"
    chunk.write_bytes(chunk.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"chunk-1-0.bin: corrupt chunk: \d+ bytes instead of \d+"):
        Dataset(broken)


def test_flipped_byte(broken: Path) -> None:
    chunk = broken / "4x8x8" / "chunk-1-0.bin"
    data = bytearray(chunk.read_bytes())
    data[-50] ^= 1
    chunk.write_bytes(data)
    dataset = Dataset(broken)
    assert dataset.pixels("4x8x8", 0).id  # another chunk
    with pytest.raises(DataError, match=r"chunk-1-0.bin: corrupt chunk \(checksum differs\)"):
        dataset.pixels("4x8x8", 12)
    assert Dataset(broken, verify=False).pixels("4x8x8", 12).id


@pytest.mark.parametrize("start", [0, 4, 60, 100])
def test_garbage_of_the_right_size_without_checksums(broken: Path, start: int) -> None:
    chunk = broken / "4x8x8" / "chunk-1-0.bin"
    data = chunk.read_bytes()
    chunk.write_bytes(data[:start] + b"\xff" * (len(data) - start))
    with pytest.raises(DataError) as error:
        Dataset(broken, verify=False).pixels("4x8x8", 12)
    assert "chunk-1-0.bin: cannot read record 12" in one_line(error)


def test_indexes_that_disagree(broken: Path) -> None:
    info = Dataset(broken).info.buckets["4x8x8"]
    with pytest.raises(DataError, match=r"index.json: does not list the chunks"):
        BucketReader("4x8x8", BucketInfo(info.chunks[1:]), LocalChunks(broken / "4x8x8", verify=True))
