"""Records of one file: stored forms give the same frames, audio is in sync, gaps of the clock end clips."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from data.build import prepare
from data.config import ClipConfig, FilesConfig, PrepareConfig
from data.sources import media_records
from data.sources.files import FilesSource
from src.streaming.reader import Dataset
from src.streaming.schema.media_record import MediaRecord
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord
from tests.fixtures.video_files import image, write_image, write_video

RATE = 48_000


def read(root: Path, **clip) -> list:
    """Every record and rejection of a folder or list."""
    config = ClipConfig(**({"size": 32, "multiple": 8, "lengths": (8,)} | clip))
    source = FilesSource(FilesConfig(path=str(root), clip=config))
    return [record for item in source.splits()["train"] for record in source.records(item)]


def write_with_audio(path: Path, click_s: float, rate: int = RATE, channels: int = 2, fps: int = 10) -> Path:
    """40 frames of which one is white, and PCM with a click at the same time."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "bgr0"
        audio = container.add_stream("pcm_s16le", rate=rate, layout="mono" if channels == 1 else "stereo")
        for i in range(40):
            pixels = np.full((48, 64, 3), 255 if i == round(click_s * fps) else 10, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode())
        samples = np.zeros((1, 4 * rate * channels), np.int16)
        at = round(click_s * rate) * channels
        samples[0, at : at + channels] = 30_000
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono" if channels == 1 else "stereo")
        frame.sample_rate, frame.pts = rate, 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


@pytest.mark.parametrize("fps", [0.0, 7.0, 16.0])
def test_the_original_file_gives_the_frames_of_the_raw_form(tmp_path: Path, fps: float) -> None:
    """H.264 with B-frames at a broken rate: every clip begins between key frames."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt, stream.options = (
            64,
            48,
            "yuv420p",
            {"bf": "2", "g": "12"},
        )
        for i in range(60):
            frame = av.VideoFrame.from_ndarray(image(3 * i, 48, 64), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    write_image(tmp_path / "b.png")
    raw, kept = read(tmp_path, fps=fps), read(tmp_path, fps=fps, store="original")
    assert len(raw) == len(kept) >= 2
    for a, b in zip(raw, kept, strict=True):
        assert isinstance(a, PixelRecord)
        assert isinstance(b, MediaRecord)
        assert (a.id, a.bucket, a.fps, a.source) == (b.id, b.bucket, b.fps, b.source)
        assert torch.equal(a.video_TCHW, b.video_TCHW)
        if not a.bucket.is_image:
            assert torch.equal(b.frames(3, 6), a.video_TCHW[3:6])


def test_an_encoded_clip_is_close_and_small(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 33, fps=25)
    write_image(tmp_path / "b.png")
    raw, kept = read(tmp_path), read(tmp_path, store="h264", crf=10)
    for a, b in zip(raw, kept, strict=True):
        error = (a.video_TCHW.float() - b.video_TCHW.float()).square().mean().item()
        assert error < 20 if not a.bucket.is_image else error == 0
        assert b.media_1N.numel() < a.video_TCHW.numel() / (1 if a.bucket.is_image else 2)
        if not a.bucket.is_image:
            assert torch.equal(b.frames(2, 5), b.video_TCHW[2:5])


def test_stored_clips_have_key_frames_near_any_position() -> None:
    data = media_records._encode(torch.zeros(80, 3, 16, 16, dtype=torch.uint8), 16.0, 20, "video")
    with av.open(io.BytesIO(data)) as container:
        keys = [n for n, packet in enumerate(container.demux(video=0)) if packet.is_keyframe and packet.size]
    assert keys == [0, 32, 64]


@pytest.mark.parametrize("store", ["raw", "h264", "original"])
def test_all_forms_train_alike(tmp_path: Path, store: str) -> None:
    """Through LitData, with clips of a file with audio, of one without, and an image in one data set."""
    (tmp_path / "media").mkdir()
    write_with_audio(tmp_path / "media" / "a.mkv", 1.0)
    write_video(tmp_path / "media" / "b.mp4", 9)
    write_image(tmp_path / "media" / "c.png")
    clip = ClipConfig(size=32, multiple=8, lengths=(8,), store=store, cut_threshold=0)
    files = FilesConfig(path=str(tmp_path / "media"), clip=clip)
    prepare(PrepareConfig(out=str(tmp_path / "out"), source="files", files=files, num_workers=0))
    dataset = Dataset(tmp_path / "out" / "train")
    clips = [dataset.pixels("8x24x40", i) for i in range(len(dataset.readers["8x24x40"]))]
    assert [clip.id for clip in clips] == [f"a.mkv#{i}" for i in range(5)] + ["b.mp4#0"]
    assert clips[0].video_TCHW.shape == (8, 3, 24, 40)
    assert [c.audio_CS is not None for c in clips] == [True] * 5 + [False]
    assert clips[0].audio_CS.shape == (2, round(0.8 * RATE))
    assert dataset.pixels("1x24x40", 0).video_TCHW.shape == (1, 3, 24, 40)


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 2), (RATE, 1), (16_000, 2), (44_100, 1)])
def test_audio_is_as_long_as_the_clip_and_in_sync(tmp_path: Path, rate: int, channels: int) -> None:
    write_with_audio(tmp_path / "a.mkv", 2.0, rate, channels)
    clips = read(tmp_path, cut_threshold=0, audio="stereo")
    assert [clip.source["start_s"] for clip in clips] == [0.0, 0.8, 1.6, 2.4, 3.2]
    assert all(clip.audio_CS.shape == (2, round(0.8 * RATE)) for clip in clips)
    clip = clips[2]
    (white,) = (clip.video_TCHW.float().mean((1, 2, 3)) > 200).nonzero().flatten().tolist()
    for channel_S in clip.audio_CS:
        assert abs(channel_S.abs().argmax().item() - white / 10 * RATE) <= (0 if rate == RATE else 2)
    assert all((c.audio_CS.abs().max() > 5000) == (c is clip) for c in clips)
    assert read(tmp_path, audio="mono")[0].audio_CS.shape[0] == 1
    assert read(tmp_path, audio="none")[0].audio_1N is None


def test_levels_are_noted(tmp_path: Path) -> None:
    write_with_audio(tmp_path / "a.mkv", 0.5)
    clips = read(tmp_path, cut_threshold=0)
    levels = clips[1].source["audio_levels"]
    silent = {"loudness_lufs": -70.0, "silence_fraction": 1.0, "clipped_fraction": 0.0, "bandwidth_hz": 0.0}
    assert levels == silent
    assert clips[0].source["audio_levels"]["bandwidth_hz"] > 20_000  # one click
    assert clips[0].source["audio_levels"]["silence_fraction"] == pytest.approx(7 / 8)


def test_a_clip_ends_where_the_clock_jumps(tmp_path: Path) -> None:
    """A recording that was paused for an hour: 20 frames, then 20 more."""
    with av.open(str(tmp_path / "pause.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt, stream.options = (
            64,
            48,
            "yuv420p",
            {"bf": "0", "g": "10"},
        )
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(40):
            frame = av.VideoFrame.from_ndarray(image(i, 48, 64), format="rgb24")
            frame.pts, frame.time_base = 62 * i + (3_600_000 if i >= 20 else 0), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    found = read(tmp_path, fps=16.0, cut_threshold=0)
    clips = [each for each in found if isinstance(each, PixelRecord)]
    assert [clip.source["shot"] for clip in clips] == [1, 1, 2, 2]
    assert all(len({f.numpy().tobytes() for f in clip.video_TCHW}) > 6 for clip in clips), "frozen clips"
    (rejection,) = [each for each in found if isinstance(each, Rejection)]
    assert rejection.reason == "clock jump"


def test_moving_images_are_videos(tmp_path: Path) -> None:
    frames = [Image.fromarray(image(9 * i, 48, 64)) for i in range(16)]
    for kind in ("webp", "png", "gif"):
        frames[0].save(tmp_path / f"a.{kind}", save_all=True, append_images=frames[1:], duration=100)
    assert {each.id.split("#")[0]: each.bucket.num_frames for each in read(tmp_path, cut_threshold=0)} == {
        "a.gif": 8,
        "a.png": 8,
        "a.webp": 8,
    }
