"""A set written by `litdata.optimize` is a data set too."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import litdata
import pytest
import torch
from litdata.streaming.writer import BinaryWriter

from src.streaming.config import DataConfig, StorageConfig, StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.streaming.optimized import record_of_item
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import DataError
from src.streaming.schema.records import item_of
from tests.fixtures.http_store import HTTPStore
from tests.fixtures.toy_data import clip


def sample(index: int, size: int = 8) -> dict[str, Any]:
    video = clip(f"{index:04d}", height=size).video_TCHW
    return {"video": video, "fps": 16.0, "caption": f"clip {index}"}


def optimize(root: Path) -> None:
    litdata.optimize(sample, list(range(20)), str(root), num_workers=1, chunk_size=5, verbose=False)


def write(root: Path) -> None:
    """Write what `optimize` does, in this process: its start takes half a minute."""
    writer = BinaryWriter(str(root), chunk_size=5)
    for index in range(20):
        writer.add_item(index, sample(index))
    writer.done()
    writer.merge()


@pytest.mark.parametrize("make", [write, pytest.param(optimize, marks=pytest.mark.long)])
def test_it_is_read_and_trained_on_in_place_and_from_a_store(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    root = tmp_path / "set"
    root.mkdir()
    make(root)
    dataset = Dataset(root)
    assert {b.name: n for b, n in dataset.buckets.items()} == {"4x8x8": 20}
    for i in (19, 0, 7):
        record = dataset.pixels("4x8x8", i)
        assert torch.equal(record.video_TCHW, sample(i)["video"])
        assert (record.id, record.captions, record.fps) == (str(i), (f"clip {i}",), 16.0)

    def ids(path: str) -> list[str]:
        storage = StorageConfig(cache_dir=str(tmp_path / "cache"))
        data = DataConfig(streams={"v": StreamConfig(path=path, batch_size=4)}, storage=storage)
        return [i for batch in MediaLoaders(data, 0, num_steps=5).train_dataloader() for i in batch.ids]

    local = ids(str(root))
    assert sorted(local, key=int) == [str(i) for i in range(20)]
    with HTTPStore(root) as store:
        assert ids(store.address) == local


def test_forms_of_items() -> None:
    meta = record_of_item(item_of(clip("a")), 3)
    assert (meta.id, meta.bucket.name) == ("a", "4x8x8")
    image = record_of_item({"image": torch.zeros(3, 8, 8, dtype=torch.uint8).numpy()}, 3)
    assert (image.id, image.captions, image.bucket.name) == ("3", (), "1x8x8")
    moments = {
        "moments": torch.zeros(4, 1, 1, 1).half(),
        "fps": 16.0,
        "bucket": "8x8x8",
        "captions": '["x", "y"]',
    }
    latent = record_of_item(moments, 3)
    assert (latent.captions, latent.bucket.name) == (("x", "y"), "8x8x8")


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"pixels": 1}, r"must be a dict with `image`, .*found \['pixels'\]"),
        (torch.zeros(3), r"found Tensor"),
        ({"video": torch.zeros(4, 3, 8, 8), "fps": 16.0}, r"video must be uint8"),
        (sample(0, 16), r"item 3 is 4x16x8, the first is 4x8x8"),
    ],
)
def test_other_items_are_refused_in_one_line(item: Any, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        partial(record_of_item, bucket="4x8x8")(item, 3)
    assert "\n" not in str(error.value)
