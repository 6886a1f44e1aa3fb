"""A bucket of many chunks: several LitData directories, one table each, read as one."""

import json
import pickle
import warnings
from pathlib import Path

import pytest
from litdata import StreamingDataset

from src.streaming.reader import Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import clip, tree


def write(root: Path, *, max_chunks: int = 3) -> Path:
    with PixelWriter(root, "k", max_chunks=max_chunks) as writer:
        for number in writer.missing(8):
            with writer.part(number) as part:
                for i in range(4 * number, 4 * number + 4):
                    part.add(clip(f"{i:04d}"))
        writer.finish(8)
    return root


def test_records_of_all_directories_come_once(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    raw = json.loads((root / "dataset.json").read_text())
    shards = raw["buckets"]["4x8x8"]["shards"]
    assert [(s["name"], s["chunks"], s["records"]) for s in shards] == [
        ("00000", 3, 12), ("00001", 3, 12), ("00002", 2, 8),
    ]  # fmt: skip
    assert "chunks" not in raw["buckets"]["4x8x8"]
    dataset = pickle.loads(pickle.dumps(Dataset(root)))
    found = [dataset.pixels("4x8x8", i).id for i in range(32)]
    assert sorted(found) == [f"{i:04d}" for i in range(32)]
    assert found[:8] == ["0000", "0001", "0002", "0003", "0012", "0013", "0014", "0015"]  # dealt in turn
    assert dataset.info.content != Dataset(write(tmp_path / "one", max_chunks=9)).info.content
    assert tree(write(tmp_path / "again")) == tree(root)


def test_each_directory_is_a_data_set_for_litdata_alone(tmp_path: Path) -> None:
    root = write(tmp_path / "set")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = StreamingDataset(str(root / "4x8x8" / "00001"))
        assert len(dataset) == 12
        assert json.loads(dataset[4]["meta"])["id"] == Dataset(root).pixels("4x8x8", 16).id


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chunks.npz", "00001/chunks.npz: checksum differs"),
        ("chunk-0-1.bin", r"00001/chunk-0-1.bin: corrupt chunk \(checksum differs\)"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, words: str) -> None:
    root = write(tmp_path / "set")
    path = root / "4x8x8" / "00001" / name
    data = bytearray(path.read_bytes())
    data[-50] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=words):
        Dataset(root).pixels("4x8x8", 17)
