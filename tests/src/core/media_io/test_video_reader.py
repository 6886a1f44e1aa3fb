"""Decoding: every frame once, upright, at the right time; every kind of bad file with its reason."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from src.core.media_io import container as containers
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.container import open_container
from src.core.media_io.errors import EventLog, MediaError
from src.core.media_io.frames import Frame, resample_frames
from src.core.media_io.image_reader import read_image
from src.core.media_io.probe import probe
from src.core.media_io.timeline import Timeline
from src.core.media_io.video_decoder import decode_video
from src.core.media_io.video_reader import open_video
from tests.fixtures.odd_media import blocks, encode, ffmpeg, number_of, numbered
from tests.fixtures.video_files import image, write_image, write_video, write_zero_frames


def reason(path: Path) -> str:
    with pytest.raises(MediaError) as error, open_video(path) as video:
        list(video.frames())
    return error.value.reason


def test_frames_in_order_with_times(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "a.mp4", 20, audio=True)) as video:
        frames = list(video.frames())
    assert video.fps == 10
    assert video.has_audio
    assert [round(f.time_s, 3) for f in frames] == [round(i / 10, 3) for i in range(20)]
    for i in (0, 7, 19):
        assert np.abs(frames[i].rgb_HWC.astype(int) - image(i, 48, 64)).mean() < 6


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_a_stretch_has_the_frames_of_its_times(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, 40)
    with open_video(path) as video:
        everything = list(video.frames())
    with open_video(path) as video:
        stretch = list(video.frames(1.3, 2.1))
    assert [round(f.time_s, 2) for f in stretch] == [1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0]
    assert all(np.array_equal(f.rgb_HWC, everything[13 + i].rgb_HWC) for i, f in enumerate(stretch))


def test_frames_before_a_stretch_are_skipped_if_nothing_needs_them(tmp_path: Path) -> None:
    options = {"bf": "3", "g": "250", "crf": "20", "x264-params": "b-adapt=0:scenecut=0"}
    path = encode(tmp_path / "a.mp4", blocks(48), 16, options=options)
    with open_video(path) as video:
        everything = [frame.rgb_HWC for frame in video.frames()]
        for number in (5, 19, 30, 31, 32, 33, 47):
            for start_s, fps in ((number / 16, None), (number / 16 + 0.03, 16.0)):
                shown = list(video.frames(start_s, start_s + 0.2, fps=fps))
                assert np.array_equal(shown[0].rgb_HWC, everything[number])
    with open_container(path) as container:
        stream = container.streams.video[0]
        log = EventLog(frozenset())
        full_from = round(2 / stream.time_base)
        timeline = Timeline(stream, 0.0, 16.0, log)
        times = [timed[1] for timed in decode_video(container, stream, timeline, log, full_from)]
    assert [round(16 * time_s) for time_s in times if time_s >= 2] == list(range(32, 48))
    assert sum(time_s < 2 for time_s in times) < 20  # of 32; B-frames that others refer to are among them


def test_a_frame_that_stays_is_not_skipped(tmp_path: Path) -> None:
    pts = [100 * n for n in range(30)] + [100 * n + 4000 for n in range(30, 40)]  # frame 29 stays for 4.1 s
    options = {"bf": "3", "g": "250", "x264-params": "b-adapt=0:scenecut=0:b-pyramid=none"}
    path = tmp_path / "a.mkv"
    encode(path, numbered(40), 10, options=options, pts=pts, time_base=Fraction(1, 1000))
    with open_video(path) as video:
        for start_s in (2.95, 5.0, 6.9):
            assert number_of(next(video.frames(start_s, fps=10.0)).rgb_HWC) == 29
        assert number_of(next(video.frames(7.0, fps=10.0)).rgb_HWC) == 30


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "bytes.mp4").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "empty.mp4").write_bytes(b"")
    assert reason(tmp_path / "none.mp4") == "missing file"
    assert reason(tmp_path / "bytes.mp4") == "unreadable"
    assert reason(tmp_path / "empty.mp4") == "unreadable"
    assert reason(write_video(tmp_path / "sound.mp4", audio=True, images=False)) == "audio only"
    with open_video(write_zero_frames(tmp_path / "zero.avi")) as video:
        assert list(video.frames()) == []


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    seen: dict[float, list[float]] = {0.0: [], 10.0: []}
    with open_video(path) as video:
        for fps, times in seen.items():
            with pytest.raises(MediaError, match="truncated"):
                times.extend(round(frame.time_s, 1) for frame in video.frames(fps=fps or None))
    assert 8 < len(seen[0]) < 22
    assert seen[0] == seen[10] == [i / 10 for i in range(len(seen[0]))]


def test_probe_names_the_codecs(tmp_path: Path) -> None:
    facts = probe(write_video(tmp_path / "a.mp4", 20, audio=True))
    assert (facts.video_codec, facts.audio_codec) == ("mpeg4", "aac")
    silent = probe(write_video(tmp_path / "b.mp4", 5))
    assert (silent.has_audio, silent.audio_codec) == (False, "")
    assert silent == replace(silent, audio_rate=0, audio_channels=(), audio_start_s=0.0, pixel_aspect=1.0)
    assert (silent.fps, silent.num_frames, silent.height, silent.width, silent.bits) == (10, 5, 48, 64, 8)
    assert silent.duration_s == pytest.approx(0.5)
    flags = (silent.has_alpha, silent.is_hdr, silent.is_interlaced, silent.is_turned)
    assert flags == (False, False, False, False)
    unknown = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.2", "-vf", "setsar=0", "-c:v", "ffv1")
    ffmpeg(*unknown, tmp_path / "c.avi")
    assert probe(tmp_path / "c.avi").pixel_aspect == 1
    write_audio(tmp_path / "a.wav", np.zeros((2, 4000), np.float32), 8000)
    audio = probe(tmp_path / "a.wav")
    assert (audio.kind, audio.audio_rate, audio.bits, audio.height) == ("audio", 8000, 0, 0)
    assert audio.duration_s == pytest.approx(0.5)


def test_a_file_is_closed_after_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = write_video(tmp_path / "a:b.mp4", 2), []
    usual = containers._open
    monkeypatch.setattr(containers, "_open", lambda source: opened.append(usual(source)) or opened[-1])
    for source in (path, path.read_bytes()):
        with open_container(source) as container:
            assert container.streams.video
    files = [file for _, file in opened if file is not None]
    assert files
    assert all(file.closed for file in files)


def test_resampling_shows_the_frame_on_screen() -> None:
    frames = [Frame(np.full((1, 1, 3), i), t) for i, t in enumerate((0.0, 0.1, 0.2, 0.3, 0.65, 0.7))]
    out = [(int(f.rgb_HWC[0, 0, 0]), round(f.time_s, 2)) for f in resample_frames(iter(frames), 5.0, 0.0)]
    assert out == [(0, 0.0), (2, 0.2), (3, 0.4), (3, 0.6), (5, 0.8)]


def test_images(tmp_path: Path) -> None:
    assert np.array_equal(read_image(write_image(tmp_path / "a.png")), image(0, 48, 64))
    turned = Image.fromarray(image(0, 48, 64))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by a quarter
    turned.save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png"), np.rot90(image(0, 48, 64), -1))
    clear = Image.fromarray(np.dstack([image(0, 48, 64), np.zeros((48, 64), np.uint8)]))
    clear.save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 255).all()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    with pytest.raises(MediaError, match=r"unreadable: cannot identify image file 'bad.png'"):
        read_image(tmp_path / "bad.png")
