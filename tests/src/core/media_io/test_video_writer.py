"""Files that the writer makes: colors, rates, sync, lossless and preview types, equal bytes."""

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from src.core.media_io.audio import Audio
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.video import read_video
from src.core.media_io.video_reader import open_video
from src.core.media_io.video_writer import encode_video, video_writer, write_video
from tests.fixtures.odd_media import ffmpeg, ffmpeg_audio, flat, program

SIZES = [(48, 48), (64, 64), (96, 176)]


def noisy_video(height: int, width: int) -> np.ndarray:
    """A moving disk on a gradient with noise; encoders decide closely on such frames."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    frames = []
    for t in range(16):
        disk = (x - 20 - t) ** 2 + (y - 20) ** 2 < 80
        frame = np.stack([(3 * x + 5 * t) % 256, (2 * y + 7 * t) % 256, 200 * disk + 20], -1)
        frames.append((0.7 * frame + random.integers(0, 40, frame.shape)).astype(np.uint8))
    return np.stack(frames)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_equal_frames_give_equal_bytes(tmp_path: Path, height: int, width: int) -> None:
    """With libx264's defaults, 8 of 30 encodings of 96x176 differed on a CPU with AVX-512."""
    video, random = noisy_video(height, width), np.random.default_rng(1)
    hashes, ballast = set(), []
    for _ in range(12):
        size = int(random.integers(1_000, 400_000))
        ballast = [*ballast[-4:], np.full(size, random.integers(255), np.uint8)]
        write_video(tmp_path / "video.mp4", video, 16.0)
        hashes.add(hashlib.sha256((tmp_path / "video.mp4").read_bytes()).hexdigest())
    assert len(hashes) == 1


RAMP = np.stack([np.stack([(3 * x + 2 * t) % 256, (4 * y) % 256, 0 * x + 40], -1) for t in range(20)
                 for y, x in [np.mgrid[:48, :64]]]).astype(np.uint8)  # fmt: skip
SUFFIXES = [".mp4", ".mov", ".m4v", ".mkv", ".webm"]


def stereo(seconds: float = 1.25, rate: int = 48_000) -> Audio:
    """Noise bursts: their lag is found to the sample."""
    random = np.random.default_rng(0)
    noise = 0.2 * random.normal(size=(2, round(seconds * rate)))
    smooth = np.cumsum(noise, axis=1) - np.cumsum(np.pad(noise, ((0, 0), (16, 0)))[:, :-16], axis=1)
    return Audio(np.clip(0.2 * smooth, -0.9, 0.9).astype(np.float32), rate)


def describe(path: Path) -> str:
    """Return what the ffmpeg program says about a file."""
    return subprocess.run(
        [program(), "-hide_banner", "-i", path], capture_output=True, text=True, check=False
    ).stderr


@pytest.mark.parametrize(("height", "tags", "color"), [(48, "smpte170m/bt709/bt709", 6), (720, "bt709", 1)])
def test_colors_are_tagged_as_they_are_encoded(tmp_path: Path, height: int, tags: str, color: int) -> None:
    red = (190, 40, 40)
    video = np.stack([flat(red, height, 64)] * 2)
    for suffix in SUFFIXES:
        path = tmp_path / f"a{suffix}"
        write_video(path, video, 16.0)
        assert f"yuv420p(tv, {tags}" in describe(path), suffix
        # ffmpeg, told by the tags alone, sees the color that went in
        raw = ffmpeg(
            "-i",
            path,
            "-vf",
            "zscale=m=gbr:r=pc,format=gbrp",
            "-frames:v",
            1,
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-",
        )
        assert np.abs(np.frombuffer(raw, np.uint8).reshape(-1, 3)[:64].astype(int) - red).max() <= 3
        assert np.abs(read_video(path).frames_THWC.astype(int) - red).max() <= 3
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (
            color,
            1,
            1,
            1,
        )


@pytest.mark.parametrize("fps", [16, 24, 30000 / 1001, 23.976, 12.5, 8, 60, 1])
def test_rates_are_exact(tmp_path: Path, fps: float) -> None:
    for suffix in (".mp4", ".mkv"):
        write_video(tmp_path / f"a{suffix}", RAMP[:6], fps)
        with open_video(tmp_path / f"a{suffix}") as video:
            times = [frame.time_s for frame in video.frames()]
            assert video.fps == pytest.approx(fps, rel=1e-6)
        assert np.abs(np.array(times) - np.arange(6) / fps).max() < (1e-3 if suffix == ".mkv" else 1e-4)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_audio_is_in_sync_and_bytes_repeat(tmp_path: Path, suffix: str) -> None:
    audio, path = stereo(), tmp_path / f"a{suffix}"
    write_video(path, RAMP, 16.0, audio=audio)
    first = path.read_bytes()
    write_video(path, RAMP, 16.0, audio=audio)
    assert path.read_bytes() == first
    found = read_audio(path)
    num = min(found.samples_CS.shape[1], audio.samples_CS.shape[1])
    assert num >= 59_000
    decoded = ffmpeg_audio(path, 2)
    for samples_CS in (found.samples_CS, decoded):
        correlation = [
            np.vdot(samples_CS[0, 100 + k : 40_100 + k], audio.samples_CS[0, 100:40_100])
            for k in range(-60, 61)
        ]
        assert np.argmax(correlation) - 60 == 0, suffix
    assert len(read_video(path).frames_THWC) == 20
    with open_video(path) as video:
        assert video.has_audio


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_lossless_is_lossless(tmp_path: Path, name: str) -> None:
    video = noisy_video(48, 64)
    write_video(tmp_path / name, video, 16.0, lossless=True, audio=stereo(1.0))
    assert np.array_equal(read_video(tmp_path / name).frames_THWC, video)
    found = read_audio(tmp_path / name).samples_CS
    assert np.abs(found[:, :48_000] - stereo(1.0).samples_CS).max() < 2**-23
    text = describe(tmp_path / name)
    assert ("ffv1" in text) == (name == "a.mkv")
    assert ("flac" in text) == (name != "a.mov")


def test_the_index_is_in_front(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", RAMP, 16.0, audio=stereo())
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")
    buffer = io.BytesIO()
    encode_video(buffer, RAMP, 16.0, audio=stereo())
    assert buffer.getvalue() == data


def test_long_audio_and_short_audio(tmp_path: Path) -> None:
    for seconds in (0.5, 3.0):
        write_video(tmp_path / "a.mp4", RAMP, 16.0, audio=stereo(seconds))
        assert read_audio(tmp_path / "a.mp4").samples_CS.shape[1] == pytest.approx(
            48_000 * seconds, abs=1_100
        )
        assert len(read_video(tmp_path / "a.mp4").frames_THWC) == 20


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_other_rates_of_audio(tmp_path: Path, rate: int) -> None:
    mono = Audio(stereo(1.0, rate).samples_CS[:1], rate)
    for suffix in (".mp4", ".webm"):
        write_video(tmp_path / f"a{suffix}", RAMP, 16.0, audio=mono)
        found = read_audio(tmp_path / f"a{suffix}", rate=rate)
        assert found.samples_CS.shape == (1, pytest.approx(rate, abs=0.03 * rate))


@pytest.mark.parametrize("size", [(1, 1), (15, 17), (49, 64)])
def test_odd_sizes_keep_their_size(tmp_path: Path, size: tuple[int, int]) -> None:
    video = np.full((3, *size, 3), 90, np.uint8)
    write_video(tmp_path / "a.mp4", video, 16.0)
    assert np.abs(read_video(tmp_path / "a.mp4").frames_THWC.astype(int) - 90).max() <= 4


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_previews_play_at_their_rate(tmp_path: Path, suffix: str) -> None:
    write_video(tmp_path / f"a{suffix}", RAMP, 16.0)
    with open_video(tmp_path / f"a{suffix}") as video:
        frames = list(video.frames(fps=16))
    assert len(frames) == 20  # GIF has no 62.5 ms: 60 and 70 ms in turn
    assert np.abs(frames[7].rgb_HWC.astype(int) - RAMP[7]).mean() < 20
    with pytest.raises(ValueError, match="holds no audio"):
        write_video(tmp_path / f"b{suffix}", RAMP, 16.0, audio=stereo())
    assert not (tmp_path / f"b{suffix}").exists()


def write_unequal(path: Path) -> None:
    with video_writer(path, 48, 64, 16.0) as write:
        write(RAMP[0])
        write(RAMP[0][:40])


def test_what_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.xyz: unknown video type; known: \.mp4"):
        write_video(tmp_path / "a.xyz", RAMP, 16.0)
    with pytest.raises(ValueError, match="lossless"):
        write_video(tmp_path / "a.webm", RAMP, 16.0, lossless=True)
    with pytest.raises(ValueError, match="1 or 2 channels"):
        write_video(tmp_path / "a.mp4", RAMP, 16.0, audio=Audio(np.zeros((6, 100), np.float32), 48_000))
    with pytest.raises(ValueError, match="frame 1: expected"):
        write_unequal(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; in a process of its own, since it stays."""
    script = (
        "import resource, signal, sys, numpy as np; from src.core.media_io.video_writer import write_video\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "video = np.random.default_rng(0).integers(0, 255, (20, 96, 96, 3), np.uint8)\n"
        "try: write_video(sys.argv[1], video, 16.0)\n"
        "except OSError as error: print('stopped:', error)\n"
    )
    command = [sys.executable, "-c", script, tmp_path / "a.mp4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "stopped:" in done.stdout, done.stderr[-500:]
    assert list(tmp_path.iterdir()) == []
