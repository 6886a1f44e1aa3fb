"""Damaged, incomplete, growing and unusable files: every one with its reason."""

import io
import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from src.core.media_io.audio_reader import read_audio
from src.core.media_io.container import OPTIONS, check_is_file
from src.core.media_io.endings import breaks_off
from src.core.media_io.errors import STRICT, EventLog, MediaError
from src.core.media_io.frames import Frame
from src.core.media_io.integrity import HeaderFacts
from src.core.media_io.probe import probe
from src.core.media_io.video import read_video
from src.core.media_io.video_reader import open_video
from tests.fixtures.odd_media import X264, blocks, encode, ffmpeg, ffmpeg_audio, flat, numbered, plain

INTRA = {"g": "8", "crf": "20", "bf": "0"}


def read(path: Path, raise_on: Iterable[str] = STRICT) -> tuple[list[Frame], str, list[str]]:
    """Return the frames, the reason of the error that ended them, and the reasons of the events."""
    frames: list[Frame] = []
    with open_video(path, raise_on=frozenset(raise_on)) as video:
        try:
            frames.extend(video.frames())
        except MediaError as error:
            return frames, error.reason, [event.reason for event in video.events]
        return frames, "", [event.reason for event in video.events]


def cut(path: Path, fraction: float = 0.5) -> Path:
    data = path.read_bytes()
    short = path.with_name(f"cut_{path.name}")
    short.write_bytes(data[: int(len(data) * fraction) | 1])  # odd: inside a packet of a transport stream
    return short


def test_a_clip_ends_before_the_corrupt_frame(tmp_path: Path) -> None:
    random = [np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8) for i in range(80)]
    path = encode(tmp_path / "middle.mkv", random, options={"g": "8", "crf": "30"})
    intact = read_video(path).frames_THWC.astype(int)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    frames, reason, _ = read(path)
    assert reason == "damaged"
    assert 30 < len(frames) < 41
    assert all(np.array_equal(frame.rgb_HWC, intact[n]) for n, frame in enumerate(frames))
    frames, reason, events = read(path, ())
    assert (reason, set(events)) == ("", {"damaged"})
    assert {frame.segment for frame in frames} == {0, 1}
    numbers = [round(frame.time_s * 16) for frame in frames]
    assert all(np.array_equal(frame.rgb_HWC, intact[n]) for n, frame in zip(numbers, frames, strict=True))
    assert len(frames) > 60


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mkv", "libx264", INTRA),
        ("a.mp4", "libx264", INTRA),
        ("b.mkv", "mpeg4", {"g": "8"}),
        ("c.webm", "libvpx-vp9", {"g": "8", "cpu-used": "8"}),
        ("d.mp4", "libx265", {"g": "8", "preset": "ultrafast", "x265-params": "log-level=none:pools=1"}),
    ],
)
def test_lost_stretches_end_segments(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    path = encode(tmp_path / name, blocks(80), 25, codec, options=options)
    intact = read_video(path).frames_THWC.astype(int)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    frames, reason, _ = read(path)
    assert reason == "damaged"
    assert 20 < len(frames) < 60
    assert max(np.abs(f.rgb_HWC - intact[n]).mean() for n, f in enumerate(frames)) < 1
    assert "damaged" in read(path, ())[2]


@pytest.mark.parametrize(
    "name", ["a.webm", "a.mkv", "fragmented.mp4", "faststart.mp4", "a.mov", "a.avi", "a.ogv", "a.ts"]
)
def test_files_cut_at_half_are_reported(tmp_path: Path, name: str) -> None:
    source = plain(tmp_path / "plain.mp4")
    flags = {"fragmented.mp4": "frag_keyframe+empty_moov"}.get(name, "faststart")
    codecs = {
        "a.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8, "-c:a", "libopus"),
        "a.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
        "a.ogv": ("-c:v", "libtheora", "-g", 4, "-c:a", "libvorbis"),
        "a.ts": ("-c:v", "mpeg2video", "-r", 25, "-g", 4, "-c:a", "mp2"),
    }
    muxing = ("-movflags", flags) if name.endswith(("mp4", "mov")) else ()
    ffmpeg(
        "-i",
        source,
        *codecs.get(name, ("-c:v", "libx264", "-g", 4, "-c:a", "copy")),
        *muxing,
        tmp_path / name,
    )
    assert read(tmp_path / name)[1:] == ("", [])
    frames, reason, _ = read(cut(tmp_path / name))
    assert reason in {"truncated", "damaged"}
    assert 4 <= len(frames) < 30
    frames, reason, events = read(cut(tmp_path / name), ())
    assert reason == ""
    assert "truncated" in events
    with pytest.raises(MediaError, match=r"truncated|damaged|no audio"):
        read_audio(cut(tmp_path / name))
    with pytest.raises(MediaError, match=r"truncated|damaged"):
        read_video(cut(tmp_path / name).read_bytes())


def test_a_gif_cut_inside_a_block_is_reported(tmp_path: Path) -> None:
    for name, filters in (
        ("a", "null"),
        ("local", "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"),
    ):
        path = tmp_path / f"{name}.gif"
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=96x64:r=10:d=1", "-lavfi", filters, path)
        assert read(path)[1:] == ("", []), name
        path.write_bytes(path.read_bytes()[:-1])  # no trailer: nothing is missing
        assert read(path)[1:] == ("", []), name
        frames, reason, _ = read(cut(path))
        assert reason in {"truncated", "damaged"}
        assert 2 <= len(frames) < 8


def test_a_little_missing_is_noticed_too(tmp_path: Path) -> None:
    for suffix in ("mkv", "webm"):
        codec = "libx264" if suffix == "mkv" else "libvpx-vp9"
        path = encode(tmp_path / f"a.{suffix}", blocks(80), 16, codec, options={"g": "8"})
        assert read(cut(path, 0.93))[1] == "truncated", suffix


def test_a_stretch_before_the_cut_is_read(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "a.mkv", blocks(40), 16, options=INTRA))
    with open_video(path) as video:
        assert len(list(video.frames(0.0, 0.5))) == 8


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", numbered(40), 16, options=INTRA)
    with open_video(path) as video:
        frames = video.frames()
        next(frames)
        with path.open("ab") as file:
            file.write(b"more")
        with pytest.raises(MediaError, match="changed while it was read"):
            list(frames)
    data = path.read_bytes()
    with open_video(path, raise_on=()) as video:
        frames = video.frames()
        next(frames)
        os.utime(path, (1, 1))  # rewritten with the same size
        path.write_bytes(data)
        list(frames)
        assert [event.reason for event in video.events] == ["changed while it was read"]


def test_a_file_without_index(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "a.mp4", blocks(40), 16, options=INTRA), 0.7)
    with pytest.raises(MediaError, match=r"unreadable.*moov atom not found"):
        read_video(path)


def rewrite_codec(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_a_missing_codec_is_named(tmp_path: Path) -> None:
    video = rewrite_codec(plain(tmp_path / "a.mp4"), b"avc1", b"xyz1")
    with pytest.raises(MediaError, match=r"missing codec.*video"):
        read_video(video)
    audio = rewrite_codec(plain(tmp_path / "b.mkv"), b"A_AAC", b"A_XYZ")
    assert len(read_video(audio).frames_THWC) == 32
    with pytest.raises(MediaError, match=r"missing codec|no audio"):
        read_audio(audio)


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n",
    "renamed.mp4": "#EXTM3U\n#EXTINF:2,\n{path}\n",
    "concat.mp4": "ffconcat version 1.0\nfile '{path}'\n",
    "dash.mp4": '<?xml version="1.0"?><MPD><BaseURL>{path}</BaseURL></MPD>',
    "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", list(PLAYLISTS))
def test_files_that_name_other_files_are_refused(tmp_path: Path, name: str) -> None:
    secret = plain(tmp_path / "secret.mp4")
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    path.write_text(PLAYLISTS[name].format(path=secret), encoding="utf-8")
    for reader in (read_video, read_audio, probe):
        with pytest.raises(MediaError, match=r"not a media file|unreadable"):
            reader(path)
        with pytest.raises(MediaError, match="unreadable"):
            reader(io.BytesIO(path.read_bytes()))


def test_no_format_that_names_other_files_is_read() -> None:
    naming = {"hls", "concat", "concatf", "dash", "sdp", "rtsp", "imf", "image2", "lavfi"}
    assert not naming & set(OPTIONS["format_whitelist"].split(","))
    assert OPTIONS["protocol_whitelist"] == "file"


def test_names_that_look_like_protocols_and_patterns_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = encode(tmp_path / "a.mp4", numbered(4), options=INTRA)
    monkeypatch.chdir(tmp_path)
    for name in (
        "concat:a.mp4",
        "100%.mp4",
        "%03d.mp4",
        "subfile,,start,0,end,9,,:a.mp4",
        "a#b=c,d?.mp4",
        "-i.mp4",
        "日本語 é.mp4",
    ):
        Path(name).write_bytes(source.read_bytes())
        assert len(read_video(name).frames_THWC) == 4, name
    with pytest.raises(MediaError, match="missing file"):
        read_video("http://127.0.0.1:9/a.mp4")


def test_names_that_are_no_utf8_and_very_long_paths(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.mp4", numbered(4), options=INTRA).read_bytes()
    raw = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    with open(raw, "wb") as file:
        file.write(source)
    assert len(read_video(os.fsdecode(raw)).frames_THWC) == 4
    with pytest.raises(MediaError, match=r"missing file: .*\\xe8") as error:
        read_video(os.fsdecode(raw.replace(b"\xe9", b"\xe8")))
    str(error.value).encode()  # can be printed and written
    folder = tmp_path
    while len(os.fsencode(folder)) < 3_800:
        folder = folder / ("d" * 200)
        folder.mkdir()
    path = folder / "a.mp4"
    path.write_bytes(source)
    assert len(read_video(path).frames_THWC) == 4
    with pytest.raises(MediaError, match="unreadable"):
        check_is_file(tmp_path / ("x" * 5_000))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"),
        (bytes(range(256)) * 20, "unreadable"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "not a media file: a git-lfs pointer",
        ),
        (b"<!DOCTYPE html><html><body>404</body></html>", "not a media file: a web page"),
        (b"\xef\xbb\xbf<html>", "not a media file: a web page"),
    ],
)
def test_what_is_no_media_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    for name in ("a.mp4", "a.wav", "a.png"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MediaError, match=reason):
            probe(tmp_path / name)


def test_covers_are_not_videos(tmp_path: Path) -> None:
    source = plain(tmp_path / "plain.mp4")
    ffmpeg("-f", "lavfi", "-i", "color=red:s=300x300:d=1", "-frames:v", 1, tmp_path / "cover.jpg")
    cover, copy = tmp_path / "cover.jpg", ("-c", "copy")
    ffmpeg(
        "-i",
        source,
        "-i",
        cover,
        "-map",
        0,
        "-map",
        1,
        *copy,
        "-disposition:v:1",
        "attached_pic",
        tmp_path / "after.mp4",
    )
    ffmpeg(
        "-i",
        cover,
        "-i",
        source,
        "-map",
        0,
        "-map",
        1,
        *copy,
        "-disposition:v:0",
        "attached_pic",
        tmp_path / "first.mp4",
    )
    ffmpeg(
        "-i",
        cover,
        "-i",
        source,
        "-map",
        0,
        "-map",
        1,
        *copy,
        "-disposition:v:0",
        "attached_pic",
        tmp_path / "first.mkv",
    )
    for name in ("after.mp4", "first.mp4", "first.mkv"):
        assert read_video(tmp_path / name).frames_THWC.shape == (32, 64, 96, 3), name
        assert probe(tmp_path / name).fps == 16
    ffmpeg(
        "-i",
        source,
        "-i",
        cover,
        "-map",
        "0:a",
        "-map",
        1,
        *copy,
        "-disposition:v:0",
        "attached_pic",
        tmp_path / "song.m4a",
    )
    with pytest.raises(MediaError, match="audio only"):
        read_video(tmp_path / "song.m4a")
    assert probe(tmp_path / "song.m4a").kind == "audio"


def test_the_best_or_the_named_stream(tmp_path: Path) -> None:
    small, large, path = tmp_path / "small.mp4", tmp_path / "large.mp4", tmp_path / "two.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x48:r=10:d=1", *X264, small)
    ffmpeg("-f", "lavfi", "-i", "color=blue:s=128x96:r=10:d=1", *X264, large)
    ffmpeg(
        "-i",
        small,
        "-i",
        large,
        "-map",
        0,
        "-map",
        1,
        "-c",
        "copy",
        "-disposition:v:0",
        0,
        "-disposition:v:1",
        "default",
        path,
    )
    with open_video(path) as video:
        assert video.size == (96, 128)
    with open_video(path, stream=0) as video:
        assert next(video.frames()).rgb_HWC.shape == (48, 64, 3)
    with (
        pytest.raises(MediaError, match=r"no such stream: video stream 7; there are: 0, 1"),
        open_video(path, stream=7),
    ):
        pass


def test_bytes_and_file_objects_are_read_like_files(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.mp4")
    expected = read_video(path).frames_THWC
    assert np.array_equal(read_video(path.read_bytes()).frames_THWC, expected)
    with path.open("rb") as file:
        assert np.array_equal(read_video(file).frames_THWC, expected)
    assert np.array_equal(read_audio(path.read_bytes()).samples_CS, read_audio(path).samples_CS)
    assert probe(path.read_bytes()).num_frames == 32


def test_a_frame_size_that_changes_is_an_error_of_arrays(tmp_path: Path) -> None:
    parts = [
        encode(tmp_path / f"{n}.ts", [flat((9, 9, 9), 48, w)] * 5, 10, "mpeg2video")
        for n, w in enumerate((64, 96))
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(MediaError, match="frame size changes"):
        read_video(path)


def test_the_end_is_compared_with_what_the_header_promises(tmp_path: Path) -> None:
    def reasons(end_s: float, frame_s: float, is_cut: bool | None = False, is_avi: bool = False) -> list[str]:
        log = EventLog(frozenset())
        HeaderFacts(10.0, 0.1, is_cut, is_avi, None, (0, 0)).check_end(end_s, frame_s, log)
        return [event.reason for event in log.events]

    assert [reasons(end_s, 0.1) for end_s in (9.75, 9.85, 10.5)] == [["truncated"], [], []]
    assert [reasons(end_s, 0.01) for end_s in (9.85, 9.95)] == [["truncated"], []]
    assert reasons(10.0, 0.1, is_cut=True) == ["truncated"]
    found = [reasons(9.0, 0.1, is_cut, is_avi=True) for is_cut in (False, None, True)]
    assert found == [["empty chunks"], ["truncated"], ["truncated"]]
    complete = b"RIFF" + struct.pack("<I", 12) + b"WAVE" + 8 * b"x"
    for data, is_cut in (
        (complete, False), (complete[:-1], True), (complete + b"x", False), (b"RIFX" + complete[4:-1], None),
        (b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE", None), (b"RIFF\0\0\0\0WAVE", None),
        (2 * complete, False), ((2 * complete)[:-1], True), (complete + 20 * b"x", False),
    ):  # fmt: skip
        assert breaks_off(io.BytesIO(data), "wav") is is_cut


def test_an_avi_whose_audio_begins_later_is_complete(tmp_path: Path) -> None:
    """ffmpeg writes the offset as empty chunks, which count in the header's length but take no time."""
    source = plain(tmp_path / "plain.mp4")
    words = ("-i", source, "-itsoffset", 0.5, "-i", source, "-map", "0:v", "-map", "1:a")
    for codec, seconds in (("libmp3lame", 2.04), ("ac3", 2.016)):
        path = tmp_path / f"{codec}.avi"
        ffmpeg(*words, "-c:v", "mpeg4", "-c:a", codec, path)
        audio = read_audio(path)
        assert [event.reason for event in audio.events] == ["empty chunks"]
        assert audio.samples_CS.shape[1] == pytest.approx(48_000 * seconds, abs=1)
        assert np.abs(audio.samples_CS - ffmpeg_audio(path, 1)).max() < 1e-3
        with pytest.raises(MediaError, match="truncated"):
            read_audio(cut(path, 0.8))
        with pytest.raises(MediaError, match="truncated"):
            read_audio(cut(path, 0.8).read_bytes())


def test_the_length_of_files_whose_streams_have_none(tmp_path: Path) -> None:
    path = plain(tmp_path / "a.flv", "-g", 4, "-ar", 44100)
    frames, reason, events = read(path)
    assert (len(frames), reason, events) == (32, "", [])
    frames, reason, events = read(cut(path, 0.3), ())
    assert "truncated" in events
    assert 4 <= len(frames) < 24


def test_files_without_video_name_what_they_lack(tmp_path: Path) -> None:
    subtitles = b"1\n00:00:00,000 --> 00:00:01,000\nHello\n"
    ffmpeg("-f", "srt", "-i", "-", tmp_path / "a.mkv", data=subtitles)
    for reader in (read_video, probe):
        with pytest.raises(MediaError, match=r"unreadable.*no video stream"):
            reader(tmp_path / "a.mkv")
    silent = encode(tmp_path / "b.mp4", numbered(4))
    with pytest.raises(MediaError, match=r"audio stream 0; there are: none"):
        read_audio(silent, stream=0)
