"""Compressed records give the batches of their decoded pixels; audio survives to the sample."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from src.core.media_io.video_writer import encode_video
from src.streaming.config import DataConfig, StreamConfig
from src.streaming.media_loaders import MediaLoaders
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket, DataError
from src.streaming.schema.clip_audio import RATE, decode_audio, encode_audio, num_samples
from src.streaming.schema.media_record import MediaRecord, Playback, media_sha256
from src.streaming.schema.records import PixelRecord, content_sha256
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_data import write_latents
from tests.fixtures.video_files import image


def clip(number: int, fps: float = 12.0) -> MediaRecord:
    frames_THWC = np.stack([image(5 * i, 32, 48, 60 * number) for i in range(10)])
    file = io.BytesIO()
    encode_video(file, frames_THWC, fps)
    media_1N = torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)[None]
    playback = Playback()
    sha256 = media_sha256(media_1N, playback)
    size = Bucket(10, 32, 48)
    return MediaRecord(
        id=f"clip{number}", media_1N=media_1N, playback=playback, bucket=size, fps=fps, content_sha256=sha256
    )


def write(root: Path, records: list) -> Path:
    with PixelWriter(root, "k") as writer:
        with writer.part(0) as part:
            for record in records:
                part.add(record)
        writer.finish(1)
    return root


@pytest.mark.parametrize("fps", [12.0, 30000 / 1001])
def test_batches_are_those_of_the_decoded_pixels(tmp_path: Path, fps: float) -> None:
    records = [clip(i, fps) for i in range(4)]
    decoded = [
        PixelRecord(id=r.id, video_TCHW=v, fps=r.fps, content_sha256=content_sha256(v))
        for r in records
        for v in [r.video_TCHW]
    ]
    roots = [write(tmp_path / "media", records), write(tmp_path / "pixels", decoded)]
    batches = []
    for root in roots:
        stream = StreamConfig(path=str(root), batch_size=2, crop=24, lengths=(3, 5))
        loaders = MediaLoaders(DataConfig(streams={"v": stream}), seed=3, num_steps=6)
        batches.append(list(loaders.train_dataloader()))
    assert len({batch.video_BCTHW.shape[2] for batch in batches[0]}) == 2
    for a, b in zip(*batches, strict=True):
        assert a.ids == b.ids
        assert torch.equal(a.video_BCTHW, b.video_BCTHW)


def test_bytes_that_do_not_give_the_frames_are_an_error(tmp_path: Path) -> None:
    good = clip(0)
    with pytest.raises(DataError, match=r"record 'clip0': decoded .*, expected"):
        replace(good, bucket=Bucket(12, 32, 48)).frames(0, 12)
    with pytest.raises(DataError, match="record 'clip0'"):
        replace(good, media_1N=good.media_1N[:, :200].contiguous()).frames(0, 2)
    with pytest.raises(DataError, match=r"media must be uint8 \[1, N\]"):
        write(tmp_path / "set", [replace(good, media_1N=good.media_1N[0])])


def test_audio_survives_to_the_sample(tmp_path: Path) -> None:
    length = num_samples(16, 30000 / 1001)
    assert length == 25626
    samples_CS = np.random.default_rng(0).integers(-32768, 32768, (2, length), dtype=np.int16)
    records = [replace(clip(0), audio_1N=encode_audio(samples_CS))]
    records += [replace(clip(1), audio_1N=encode_audio(samples_CS[:, :0]))]
    dataset = Dataset(write(tmp_path / "set", records))
    found = dataset.pixels("10x32x48", 0).audio_CS
    assert found is not None
    assert np.array_equal(found.numpy(), samples_CS)
    assert dataset.pixels("10x32x48", 1).audio_CS is None
    assert decode_audio(encode_audio(samples_CS[:1])).shape == (1, length)
    assert RATE == 48_000


def test_latents_without_captions_are_warned_of_before_training(tmp_path: Path) -> None:
    root = write_latents(tmp_path / "set", {Bucket(16, 32, 32): 4})

    def report() -> str:
        stream = StreamConfig(path=str(root), batch_size=2)
        return MediaLoaders(DataConfig(streams={"v": stream}), seed=0, num_steps=2).report()

    assert "warning" not in report()
    index = root / "dataset.json"
    index.write_text(index.read_text().replace('"key"', '"num_uncaptioned": 3, "key"'))
    assert "warning: stream v: 3 of 4 records have no caption and train without text" in report()
