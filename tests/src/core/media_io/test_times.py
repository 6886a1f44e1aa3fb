"""Presentation times: variable rates, missing times, jumps, edit lists, and resampling by time."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from src.core.media_io.audio_reader import read_audio
from src.core.media_io.container import open_container
from src.core.media_io.errors import STRICT, EventLog, MediaError
from src.core.media_io.probe import probe
from src.core.media_io.timeline import Timeline, clock_zero
from src.core.media_io.video import read_video
from src.core.media_io.video_reader import open_video
from tests.fixtures.odd_media import X264, encode, ffmpeg, ffmpeg_frames, flat, number_of, numbered, plain

MS = Fraction(1, 1000)
FAST = {"crf": "4", "g": "10", "bf": "0", "preset": "ultrafast"}
WITH_B_FRAMES = {"crf": "4", "g": "10", "bf": "2"}


def numbers(path: Path, *args: float | None, fps: float | None = None) -> list[int]:
    with open_video(path) as video:
        return [number_of(frame.rgb_HWC) for frame in video.frames(*args, fps=fps)]


def times(path: Path) -> list[float]:
    with open_video(path) as video:
        return [round(frame.time_s, 3) for frame in video.frames()]


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """8 frames at 16 fps, the last of them held for two seconds, then 8 more."""
    path = tmp_path / "vfr.mp4"
    filters = "setpts='if(lt(N,8),N/16,N/16+2)/TB'"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=16:d=1", "-vf", filters, "-fps_mode", "vfr", *X264, path)
    return path


def test_variable_rate_to_25_fps_shows_what_is_on_the_screen(held: Path) -> None:
    expected = ffmpeg_frames(held, 64, 96, "fps=25:round=up")  # a frame is shown from its time on, not before
    assert len(ffmpeg_frames(held, 64, 96, "fps=25")) == 75
    with open_video(held) as video:
        frames = list(video.frames(fps=25))
    assert [round(frame.time_s, 6) for frame in frames] == [n / 25 for n in range(75)]
    assert np.array_equal(np.stack([frame.rgb_HWC for frame in frames]), expected)
    assert np.array_equal(read_video(held).resample(25).frames_THWC, expected)


def test_each_frame_knows_how_long_it_is_shown(held: Path) -> None:
    with open_video(held) as video:
        durations = [round(frame.duration_s, 4) for frame in video.frames()]
        assert video.fps == 16
    assert durations == [0.0625] * 7 + [2.0625] + [0.0625] * 8


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".webm", ".avi", ".flv"])
def test_times_rounded_by_the_container_neither_drop_nor_double_frames(tmp_path: Path, suffix: str) -> None:
    """Matroska and FLV round 62.5 ms to 62 or 63 ms."""
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    options = {"cpu-used": "8", "crf": "4", "b": "0"} if suffix == ".webm" else {}
    path = encode(tmp_path / f"a{suffix}", numbered(40), 16, codec, options=options)
    assert numbers(path, fps=16) == list(range(40))
    assert numbers(path, 1.0, 2.0, fps=16) == list(range(16, 32))
    assert numbers(path, fps=8) == list(range(0, 40, 2))


@pytest.mark.parametrize(
    ("fps", "count"), [(16, 49), (30, 91), (Fraction(30000, 1001), 91), (24, 73), (8, 25), (15, 46)]
)
def test_three_seconds_give_49_frames_at_16_fps(tmp_path: Path, fps: Fraction, count: int) -> None:
    shown = numbers(encode(tmp_path / "a.mp4", numbered(count, 2), fps, options=FAST), fps=16)
    assert len(shown) >= 49
    path = tmp_path / "a.mp4"
    with open_video(path) as video:
        found = [number_of(frame.rgb_HWC, 2) for frame in video.frames(fps=16)]
    expected = [int(Fraction(n, 16) * fps) for n in range(49)]
    assert np.abs(np.array(found[:49]) - expected).max() <= 1  # levels are lossy, not times


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("b.avi", "libx264"), ("c.mkv", "libx264")])
def test_b_frames_without_times_come_in_presentation_order(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, numbered(40), 10, codec, options=WITH_B_FRAMES)
    assert numbers(path) == list(range(40))
    assert times(path) == [round(n / 10, 3) for n in range(40)]
    assert numbers(path, 2.0, 3.6) == list(range(20, 36))
    assert numbers(path, fps=5) == list(range(0, 40, 2))


def test_raw_streams_are_timed_by_their_order(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", numbered(20), 25, options=WITH_B_FRAMES)
    ffmpeg("-i", path, "-c", "copy", tmp_path / "a.h264")
    assert times(tmp_path / "a.h264") == [round(n / 25, 3) for n in range(20)]
    assert numbers(tmp_path / "a.h264") == list(range(20))


def test_a_jump_of_the_clock_ends_the_segment_and_is_reported(tmp_path: Path) -> None:
    pts = [62 * i + (3_600_000 if i >= 20 else 0) for i in range(40)]
    path = encode(tmp_path / "a.mkv", numbered(40), 16, options=FAST, pts=pts, time_base=MS)
    with open_video(path) as video:
        frames = list(video.frames())
        assert [event.reason for event in video.events] == ["clock jump"]
        assert "3601.240" in video.events[0].detail
    assert [frame.segment for frame in frames] == [0] * 20 + [1] * 20
    assert frames[20].time_s == pytest.approx(3601.24)
    assert frames[19].duration_s < 0.1
    with open_video(path) as video:
        resampled = list(video.frames(fps=16))  # an hour of frozen frames would be 57,600
    assert len(resampled) == 40
    assert {frame.segment for frame in resampled} == {0, 1}
    with (
        open_video(path, raise_on={*STRICT, "clock jump"}) as video,
        pytest.raises(MediaError, match="clock jump"),
    ):
        list(video.frames())


def test_a_clock_that_starts_again_continues_and_is_reported(tmp_path: Path) -> None:
    """Two recordings one after the other in a transport stream."""
    parts = []
    for n in range(2):
        frames = [flat((6 * i,) * 3) for i in range(20 * n, 20 * n + 20)]
        parts.append(
            encode(tmp_path / f"{n}.ts", frames, 10, "mpeg2video", options={"g": "5", "qscale": "2"})
        )
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_video(path) as video:
        frames = list(video.frames())
        assert "clock starts again" in [event.reason for event in video.events]
    found = [frame.time_s for frame in frames]
    assert len(frames) == 40
    assert np.all(np.diff(found) > 0.05)
    assert found[-1] == pytest.approx(3.9, abs=0.11)
    assert frames[-1].segment == 1


def test_times_of_single_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", numbered(2), 16, options=FAST)
    log = EventLog(frozenset())
    with open_container(path) as container:
        timeline = Timeline(container.streams.video[0], 1.0, 16.0, log)
        ticks = 1 / timeline.tick_s
        frames = [SimpleNamespace(time=time_s, duration=seconds * ticks) for time_s, seconds in (
            (1.0, 0.5), (1.5, 0.0), (1.5, 0.25), (None, 11.0), (1.9, 0.1),
        )]  # fmt: skip
        assert [timeline.duration_of(frame) for frame in frames] == [0.5, 1 / 16, 0.25, 1 / 16, 0.1]
        # one without a time follows the frame before; equal times are no clock that starts again
        assert [timeline.time_of(frame) for frame in frames] == pytest.approx([0.0, 0.5, 0.5, 0.75, 0.9])
    assert log.events == []


def test_a_clock_that_goes_back_by_half_a_second_starts_again(tmp_path: Path) -> None:
    parts = []
    for n in range(2):
        frames = [flat((6 * i,) * 3) for i in range(6 * n, 6 * n + 6)]
        options = {"g": "5", "qscale": "2"}
        parts.append(encode(tmp_path / f"{n}.ts", frames, 10, "mpeg2video", options=options))
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_video(path) as video:
        found = [frame.time_s for frame in video.frames()]
        assert [event.reason for event in video.events] == ["clock starts again"]
    np.testing.assert_allclose(np.diff(found), 0.1, atol=0.02)


def test_a_video_cut_without_encoding_begins_at_its_edit_list(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(40), 16, options={"g": "100", "bf": "2", "crf": "4"})
    ffmpeg("-ss", "0.5", "-i", path, "-c", "copy", tmp_path / "cut.mov")
    found = numbers(tmp_path / "cut.mov")
    assert found == list(range(8, 40))
    assert times(tmp_path / "cut.mov")[:3] == [0.0, 0.062, 0.125]


def test_fragmented_files_have_the_times_of_their_source(tmp_path: Path) -> None:
    """ffmpeg writes their first frame longer by the audio encoder's delay."""
    source = plain(tmp_path / "plain.mp4")
    for name, flags in (
        ("a", "frag_keyframe+empty_moov"),
        ("b", "frag_keyframe+empty_moov+delay_moov"),
        ("c", "cmaf"),
    ):
        path = tmp_path / f"{name}.mp4"
        ffmpeg("-i", source, "-c", "copy", "-movflags", flags, path)
        with open_video(path) as video:
            assert video.fps == 16
        assert np.abs(np.array(times(path)) - np.arange(32) / 16).max() < 2e-3
        assert np.array_equal(read_video(path).frames_THWC, read_video(source).frames_THWC)


def test_video_that_starts_late_starts_the_clock(tmp_path: Path) -> None:
    source = plain(tmp_path / "plain.mp4")
    for name in ("late.mp4", "late.mkv"):
        ffmpeg(
            "-itsoffset",
            "0.7",
            "-i",
            source,
            "-i",
            source,
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c",
            "copy",
            tmp_path / name,
        )
        assert times(tmp_path / name)[0] == 0.0
        assert len(numbers(tmp_path / name, 0.0, 0.5)) == 8


def test_gif_frames_last_as_long_as_they_say(tmp_path: Path) -> None:
    images = [Image.fromarray(flat((10 * i, 0, 0))) for i in range(4)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[100, 1500, 40, 200])
    with open_video(tmp_path / "a.gif") as video:
        assert [round(frame.duration_s, 2) for frame in video.frames()] == [0.1, 1.5, 0.04, 0.2]
    with open_video(tmp_path / "a.gif") as video:
        assert len(list(video.frames(fps=10))) == 19  # 1.84 s


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_moving_images_are_videos(tmp_path: Path, suffix: str) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)] * 4
    images = [Image.fromarray(flat(color)) for color in colors]
    options = {} if suffix == ".png" else {"quality": 100} | ({"lossless": True} if suffix == ".webp" else {})
    path = tmp_path / f"moving{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=60, **options)
    with open_video(path) as video:
        frames = list(video.frames())
        assert video.fps == pytest.approx(1000 / 60)
        assert video.num_frames == 12
    assert [round(frame.time_s, 2) for frame in frames] == [round(0.06 * n, 2) for n in range(12)]
    for frame, color in zip(frames, colors, strict=True):
        assert np.abs(frame.rgb_HWC.astype(int) - color).max() < 8
    with open_video(path) as video:
        assert len(list(video.frames(0.3, 0.6))) == 5


def test_stretches_are_the_frames_of_the_complete_pass(tmp_path: Path) -> None:
    """Seeking by key frames, by containers that index, and by those that do not."""
    for name in ("a.mp4", "a.mkv", "a.ts", "a.flv"):
        path = encode(tmp_path / name, numbered(80, 3), 20, options={"g": "25", "bf": "3", "crf": "4"})
        with open_video(path) as video:
            complete = list(video.frames())
        assert len(complete) == 80
        for start, end in ((0.45, 0.9), (1.2, 1.3), (2.45, 3.0), (3.9, None)):
            expected = [
                f for f in complete if f.time_s >= start - 1e-6 and (end is None or f.time_s < end - 1e-6)
            ]
            with open_video(path) as video:
                found = list(video.frames(start, end))
            assert [f.time_s for f in found] == [f.time_s for f in expected], (name, start)
            assert all(np.array_equal(a.rgb_HWC, b.rgb_HWC) for a, b in zip(found, expected, strict=True))


def test_a_resampled_stretch_begins_with_the_frame_on_the_screen(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(20), 4, options=FAST)
    assert numbers(path, 1.1, 1.9, fps=10) == [4, 4, 5, 5, 6, 6, 6, 7]


def test_a_matroska_file_with_times_before_0_is_refused(tmp_path: Path) -> None:
    """libav gives its first frames no times and its audio half a second too early."""
    sources = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=16:d=1", "-f", "lavfi", "-i", "sine=r=48000:d=1")
    codecs = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-c:a", "aac")
    path = tmp_path / "a.mkv"
    ffmpeg(*sources, *codecs, "-output_ts_offset", "-0.5", "-avoid_negative_ts", "disabled", path)
    for read in (probe, read_audio, times):
        with pytest.raises(MediaError, match=r"negative times: Matroska from -0\.5"):
            read(path)


@pytest.mark.parametrize(
    ("codec", "times", "zero"),
    [
        (
            "aac",
            (0, 341 + 1000, 341 + 2000),
            341,
        ),  # the first frame is stretched by the encoder's 1,024 samples
        ("aac", (0, 340 + 1000, 340 + 2000), 340),
        ("aac", (0, 339 + 1000, 339 + 2000), 0),
        ("aac", (0, 3000, 4000), 0),  # a first frame that stays longer
        ("opus", (0, 341 + 1000, 341 + 2000), 0),
    ],
)
def test_the_encoders_delay_is_no_long_first_frame(codec: str, times: tuple[int, ...], zero: int) -> None:
    audio = SimpleNamespace(rate=48_000, codec_context=SimpleNamespace(name=codec))
    container = SimpleNamespace(
        start_time=0, format=SimpleNamespace(name="mov,mp4"), streams=SimpleNamespace(audio=[audio])
    )
    entries = [SimpleNamespace(timestamp=each) for each in times]
    stream = SimpleNamespace(start_time=0, container=container, frames=0, index_entries=entries,
                             time_base=Fraction(1, 16_000))  # fmt: skip
    assert clock_zero(stream) == pytest.approx(zero / 16_000)


def test_a_packet_without_a_frame_is_forgotten_if_it_was_sent() -> None:
    timeline = Timeline.__new__(Timeline)
    timeline._slots, timeline.counts_frames = [], True
    for dts, size in ((3, 10), (1, 10), (2, 0)):
        timeline.add_packet(SimpleNamespace(dts=dts, size=size))
    for dts in (1, 2):
        timeline.drop_packet(SimpleNamespace(dts=dts))
    assert timeline._slots == [3]
