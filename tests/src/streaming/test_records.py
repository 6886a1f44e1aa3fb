"""A record is read back unchanged, or refused before it is written."""

from pathlib import Path

import pytest
import torch

from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.records import PixelRecord
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import clip, latent, write_latents


def test_pixel_records_come_back_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip").write_text("a text equal to the name of a file must stay a text")
    records = [clip("clip"), clip("höhe\n日本", captions=0), clip("many", captions=5)]
    with PixelWriter(tmp_path / "set", "k") as writer:
        with writer.part(0) as part:
            for record in records:
                part.add(record)
        writer.finish(1)
    dataset = Dataset(tmp_path / "set")
    for i, expected in enumerate(records):
        found = dataset.pixels("4x8x8", i)
        assert torch.equal(found.video_TCHW, expected.video_TCHW)
        assert (found.id, found.captions, found.facts) == (expected.id, expected.captions, expected.facts)
        assert (found.fps, found.content_sha256) == (expected.fps, expected.content_sha256)


def test_latent_records_come_back_with_text_of_varied_length(tmp_path: Path) -> None:
    video, image = Bucket(16, 32, 32), Bucket(1, 32, 32)
    dataset = Dataset(write_latents(tmp_path / "set", {video: 4, image: 1}))
    for i in range(4):
        expected, found = latent(f"16x32x32/{i:04d}", video, words=1 + i % 3), dataset.latents("16x32x32", i)
        assert found.moments_2CTHW.dtype == torch.float16
        assert torch.equal(found.moments_2CTHW, expected.moments_2CTHW)
        assert found.text["bytes"][0].shape == (2, 1 + i % 3, 5)
        assert found.text["bytes"][1].dtype == torch.uint8
    assert dataset.latents("1x32x32", 0).moments_2CTHW.shape == (4, 1, 4, 4)


def test_statistics_are_those_of_draws_from_the_posterior(tmp_path: Path) -> None:
    bucket = Bucket(16, 32, 32)
    statistics = Dataset(write_latents(tmp_path / "set", {bucket: 3})).info.statistics
    assert statistics is not None
    moments = torch.stack([latent(f"16x32x32/{i:04d}", bucket).moments_2CTHW for i in range(3)]).double()
    mean, std = moments.chunk(2, dim=1)
    var = (mean.square() + std.square()).mean((0, 2, 3, 4)) - mean.mean((0, 2, 3, 4)).square()
    assert statistics["mean"] == pytest.approx(mean.mean((0, 2, 3, 4)).tolist(), rel=1e-9)
    assert statistics["std"] == pytest.approx(var.sqrt().tolist(), rel=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"video_TCHW": torch.zeros(4, 3, 8, 8)}, "uint8"),
        ({"video_TCHW": torch.zeros(0, 3, 8, 8, dtype=torch.uint8)}, "no empty axis"),
        ({"video_TCHW": torch.zeros(3, 4, 8, 8, dtype=torch.uint8)}, r"\[T, 3, H, W\]"),
        ({"fps": 0.0}, "fps"),
        ({"id": ""}, "id"),
        ({"captions": (b"bytes",)}, "captions"),
        ({"content_sha256": ""}, "content_sha256"),
    ],
)
def test_a_broken_pixel_record_is_refused(change: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        PixelRecord(**(vars(clip("x")) | change)).validate()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: {"moments_2CTHW": m.bfloat16()}, "bfloat16 cannot be stored"),
        (lambda m: {"moments_2CTHW": m.float()}, "float16"),
        (lambda m: {"moments_2CTHW": m * float("inf")}, "not finite"),
        (lambda m: {"moments_2CTHW": -m}, "std, not logvar"),
        (lambda m: {"captions": ("one",)}, "N = 1 captions"),
    ],
)
def test_a_broken_latent_record_is_refused(change, words: str) -> None:
    record = latent("x", Bucket(16, 32, 32))
    with pytest.raises(DataError, match=words):
        type(record)(**(vars(record) | change(record.moments_2CTHW))).validate()


@pytest.mark.parametrize("name", ["16x32", "0x8x8", "16x32x32x3", "a", "16x032x32", "../x"])
def test_bucket_names_are_strict(name: str) -> None:
    with pytest.raises(DataError, match="bucket"):
        Bucket.parse(name)
    assert Bucket.parse("16x32x48") == Bucket(16, 32, 48)
