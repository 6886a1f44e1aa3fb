"""Audio on the video's clock: offsets, priming, gaps, channels, resampling, stretches."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from src.core.media_io import audio_reader
from src.core.media_io.audio import Audio, mixdown_matrix
from src.core.media_io.audio_reader import audio_pieces, read_audio
from src.core.media_io.audio_writer import write_audio
from src.core.media_io.errors import EventLog, MediaError
from tests.fixtures.odd_media import CLICKS, ffmpeg, ffmpeg_audio, plain


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain(tmp_path_factory.mktemp("audio") / "plain.mp4")


def onset(audio: Audio, level: float = 0.05) -> float:
    """Return the time of the first sample above a level."""
    return float(np.argmax(np.abs(audio.mono) > level)) / audio.rate


def lag(found_S: np.ndarray, expected_S: np.ndarray, most: int = 3000) -> int:
    """Return by how many samples one signal is later than another, by cross-correlation."""
    num = min(len(found_S), len(expected_S))
    spectrum = np.fft.rfft(found_S[:num], 2 * num) * np.conj(np.fft.rfft(expected_S[:num], 2 * num))
    correlation = np.fft.irfft(spectrum)
    shifts = np.arange(-most, most + 1)
    return int(shifts[np.argmax(correlation[shifts])])


@pytest.mark.parametrize("name", ["late.mov", "late.mkv", "late.mp4"])
def test_audio_that_starts_late_is_late(tmp_path: Path, source: Path, name: str) -> None:
    ffmpeg(
        "-i",
        source,
        "-itsoffset",
        0.5,
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
    ffmpeg("-i", source, "-af", "adelay=500:all=1", "-c:v", "copy", "-c:a", "aac", tmp_path / "baked.mp4")
    found, baked, original = (read_audio(p) for p in (tmp_path / name, tmp_path / "baked.mp4", source))
    assert onset(found) - onset(original) == pytest.approx(0.5, abs=0.001)
    assert onset(found) == pytest.approx(onset(baked), abs=0.001)
    shift = lag(found.mono, np.pad(original.mono, (24_000, 0)))
    assert abs(shift) <= (48 if name.endswith("mkv") else 0)  # Matroska's times are in milliseconds


def test_audio_before_the_first_frame_is_left_out(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "early.mkv"
    ffmpeg("-itsoffset", 0.5, "-i", source, "-i", source, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    original = read_audio(source)
    assert abs(lag(read_audio(path).mono, original.mono[24_000:])) <= 48
    assert read_audio(path).samples_CS.shape[1] == pytest.approx(72_000, abs=48)


@pytest.mark.parametrize(
    "name", ["plain.mp4", "a.mov", "a.mkv", "fragmented.mp4", "b_frames.mp4", "edit.mp4", "b.webm", "c.avi"]
)
def test_encoder_delay_is_trimmed(tmp_path: Path, name: str) -> None:
    """The decoded audio lies on the samples that were encoded, whichever container holds it."""
    ffmpeg("-f", "lavfi", "-i", CLICKS, tmp_path / "in.wav")
    words = {
        "fragmented.mp4": ("-movflags", "frag_keyframe+empty_moov"),
        "b_frames.mp4": ("-movflags", "frag_keyframe+empty_moov", "-preset", "medium", "-bf", 2),
        "edit.mp4": ("-movflags", "frag_keyframe+empty_moov+delay_moov"),
        "b.webm": ("-c:v", "libvpx-vp9", "-cpu-used", 8, "-deadline", "realtime", "-c:a", "libopus"),
        "c.avi": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    }.get(name, ())
    path = plain(tmp_path / name, *words)
    original, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    found = read_audio(path)
    assert found.rate == 48_000
    assert abs(lag(found.mono, original)) <= 1  # ticks of the video's clock are 3 samples long


def test_low_rates_have_their_own_delay(tmp_path: Path, source: Path) -> None:
    """At 8 kHz the encoder's 1,024 samples are 128 ms."""
    ffmpeg("-f", "lavfi", "-i", CLICKS.replace("48000", "8000"), tmp_path / "in.wav")
    path = tmp_path / "rate8k.mp4"
    ffmpeg("-i", source, "-i", tmp_path / "in.wav", "-map", "0:v", "-map", "1:a", "-c:v", "copy", path)
    original, _ = soundfile.read(tmp_path / "in.wav", dtype="float32")
    found = read_audio(path)
    assert found.rate == 8_000
    assert lag(found.mono, original, 1_500) == 0


def test_samples_are_those_of_the_ffmpeg_program(source: Path) -> None:
    expected = ffmpeg_audio(source, 1)
    found = read_audio(source).samples_CS
    num = min(found.shape[1], expected.shape[1])
    assert num >= 95_000
    assert np.abs(found[:, :num] - expected[:, :num]).max() < 1e-5


LAYOUTS = {"mono": 1, "stereo": 2, "2.1": 3, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}


@pytest.mark.parametrize("layout", list(LAYOUTS))
@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_one_to_eight_channels_are_mixed_down_as_bs_775(tmp_path: Path, layout: str, rate: int) -> None:
    path, num = tmp_path / "a.flac", LAYOUTS[layout]
    tones = "|".join(f"0.1*sin(2*PI*{200 + 100 * c}*t)" for c in range(num))
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc='{tones}':s={rate}:d=0.5:c={layout}", path)
    audio = read_audio(path)
    assert audio.samples_CS.shape == (num, rate // 2)
    assert audio.rate == rate
    stereo = audio.mixdown(2).samples_CS
    if num > 1:
        expected = (
            ffmpeg_audio(path, 2, "-ac", 2, "-lfe_mix_level", 0, "-af", "aformat=sample_fmts=flt")
            if num != 2
            else audio.samples_CS
        )
        assert np.abs(stereo - expected[:, : stereo.shape[1]]).max() < 2e-3
    assert np.abs(read_audio(path, channels=1).samples_CS[0] - stereo.mean(0)).max() < 1e-6
    assert np.array_equal(read_audio(path, channels=2).samples_CS, stereo)


def test_a_centered_voice_keeps_its_loudness() -> None:
    voice = np.zeros((6, 100), np.float32)
    voice[2] = 0.5
    mono = Audio(voice, 48_000, ("FL", "FR", "FC", "LFE", "BL", "BR")).mono
    assert np.abs(mono - 0.5 * 2**-0.5).max() < 1e-6  # the mean of six channels would be 0.083
    assert np.array_equal(mixdown_matrix(("FC",), 2), [[1], [1]])


def test_more_than_eight_channels_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((800, 12), np.float32), 8_000)
    with pytest.raises(MediaError, match="too many channels: 12"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 11_025])
def test_stretches_are_cut_from_the_resampled_recording(tmp_path: Path, rate: int) -> None:
    random = np.random.default_rng(0)
    smooth = np.cumsum(random.normal(0, 0.01, (2, 5 * 44_100)), axis=1).astype(np.float32)
    smooth -= smooth.mean(1, keepdims=True)
    write_audio(tmp_path / "a.wav", 0.1 * smooth / np.abs(smooth).max(), 44_100)
    complete = read_audio(tmp_path / "a.wav", rate=rate)
    for start_s, end_s in ((0.0, 0.7), (2.25, 3.0), (1 / 3, 4.9)):
        first, length = round(start_s * rate), round((end_s - start_s) * rate)
        found = read_audio(tmp_path / "a.wav", rate=rate, start_s=start_s, end_s=end_s)
        assert found.samples_CS.shape == (2, length)
        assert np.abs(found.samples_CS - complete.samples_CS[:, first : first + length]).max() < 1e-4
    assert complete.samples_CS.shape[1] == pytest.approx(5 * rate, abs=1)
    assert np.abs(complete.samples_CS - read_audio(tmp_path / "a.wav").resample(rate).samples_CS).max() < 1e-5


def test_a_tone_keeps_level_and_phase_when_resampled() -> None:
    time = np.arange(44_100) / 44_100
    tone = Audio(np.sin(2 * np.pi * 1000 * time)[None].astype(np.float32), 44_100).resample(48_000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(48_000) / 48_000)
    assert np.abs(tone.samples_CS[0, 500:-500] - expected[500:-500]).max() < 1e-4


def test_a_stretch_has_its_exact_length_and_silence_where_there_is_nothing(source: Path) -> None:
    audio = read_audio(source, rate=16_000, start_s=1.5, end_s=3.0)
    assert audio.samples_CS.shape == (1, 24_000)
    assert np.abs(audio.samples_CS[0, 8_500:]).max() == 0
    assert np.abs(audio.samples_CS[0, :8_000]).max() > 0.1
    beyond = read_audio(source, start_s=10.0, end_s=10.5)
    assert beyond.samples_CS.shape == (1, 24_000)
    assert not beyond.samples_CS.any()


def test_pieces_are_the_recording(source: Path) -> None:
    form, pieces, events = audio_pieces(source, rate=44_100, channels=2)
    joined = np.concatenate(list(pieces), axis=1)
    assert (form.rate, len(form.channels), events) == (44_100, 2, [])
    assert np.array_equal(joined, read_audio(source, rate=44_100, channels=2).samples_CS)


def write_gap(path: Path, gap_s: float) -> Path:
    """Write a second of a tone, a gap in the time stamps, and another second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=8_000, layout="mono")
        tone = (8_000 * np.sin(np.arange(8_000))).astype(np.int16)[None]
        for n in range(2):
            for at in range(0, 8_000, 1_000):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(tone[:, at : at + 1_000]), "s16", "mono"
                )
                frame.sample_rate, frame.time_base = 8_000, Fraction(1, 8_000)
                frame.pts = at + n * round(8_000 * (1 + gap_s))
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_gaps_are_silence_and_jumps_end_the_audio(tmp_path: Path) -> None:
    audio = read_audio(write_gap(tmp_path / "a.mkv", 0.5))
    assert [event.reason for event in audio.events] == ["audio gap"]
    found = audio.samples_CS[0]
    assert len(found) == pytest.approx(20_000, abs=600)
    assert not found[8_700:11_500].any()
    assert np.abs(found[12_700:20_000]).max() > 0.2
    jumped = read_audio(write_gap(tmp_path / "b.mkv", 3_600.0))
    assert len(jumped.samples_CS[0]) == pytest.approx(8_000, abs=600)
    assert [event.reason for event in jumped.events] == ["clock jump"]
    later = read_audio(tmp_path / "b.mkv", start_s=3_601.0, end_s=3_601.5)
    assert np.abs(later.samples_CS).max() > 0.2


def test_audio_files_of_other_formats(tmp_path: Path) -> None:
    time = np.arange(24_000) / 48_000
    tone = 0.3 * np.sin(2 * np.pi * 500 * time)[None].astype(np.float32)
    write_audio(tmp_path / "in.wav", tone, 48_000)
    for name in ("a.flac", "a.mp3", "a.ogg", "a.opus", "a.m4a", "a.aiff", "a.wma"):
        ffmpeg("-i", tmp_path / "in.wav", tmp_path / name)
        found = read_audio(tmp_path / name)
        ffmpeg("-i", tmp_path / name, "-f", "f32le", tmp_path / "decoded")
        num_decoded = (tmp_path / "decoded").stat().st_size // 4  # of 24,000 its Vorbis and WMA keep fewer
        assert found.samples_CS.shape[1] == num_decoded > 22_000, name
        assert np.abs(found.mono[4_000:20_000]).max() == pytest.approx(0.3, abs=0.03), name
    for suffix in ("wav", "flac"):
        write_audio(tmp_path / f"b.{suffix}", tone, 48_000)
        assert np.abs(read_audio(tmp_path / f"b.{suffix}").samples_CS - tone).max() < 2e-7
    with pytest.raises(ValueError, match=r"b\.mp3: expected \.wav or \.flac"):
        write_audio(tmp_path / "b.mp3", tone, 48_000)


@pytest.mark.parametrize("name", ["mp3", "ogg", "opus", "aiff", "caf", "au", "w64", "m4a", "mka"])
def test_audio_of_other_formats_cut_at_half_is_reported(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"a.{name}"
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=4:r=48000:a=0.2", path)
    assert {event.reason for event in read_audio(path).events} == set()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 37])
    for source in (path, path.read_bytes()):
        with pytest.raises(MediaError, match=r"truncated|damaged|moov atom not found"):
            read_audio(source)


@pytest.mark.parametrize("name", ["a.flac", "flac.mka", "wavpack.mka", "vorbis.ogg", "ac3.mka"])
def test_audio_that_decodes_to_noise_is_damaged(tmp_path: Path, name: str) -> None:
    """Zeros inside a block: its checksum tells, decoders alone do not."""
    path = tmp_path / name
    codec = {"vorbis": "libvorbis", "a": "flac"}.get(path.stem, path.stem)
    seconds = 1.5 if codec == "libvorbis" else 4  # so short that Ogg is read to its end when it is opened
    ffmpeg("-f", "lavfi", "-i", f"anoisesrc=d={seconds}:r=48000:a=0.2", "-c:a", codec, path)
    assert read_audio(path).events == ()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="damaged"):
        read_audio(path)


def test_incomplete_audio_is_reported(tmp_path: Path) -> None:
    random = np.random.default_rng(0).normal(0, 0.1, (1, 96_000)).astype(np.float32)
    for name in ("a.wav", "a.flac"):
        write_audio(tmp_path / name, random, 48_000)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(MediaError, match=r"truncated|damaged"):
            read_audio(tmp_path / name)
        half = read_audio(tmp_path / name, raise_on=())
        assert half.samples_CS.shape[1] == pytest.approx(48_000, abs=5_000)
        assert {event.reason for event in half.events} & {"truncated", "damaged"}


def test_samples_that_are_not_finite_are_damage(tmp_path: Path) -> None:
    samples = np.zeros((1, 1_000), np.float32)
    samples[0, 500] = np.nan
    write_audio(tmp_path / "a.wav", samples, 8_000)
    with pytest.raises(MediaError, match="not finite"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(("late", "reasons"), [(3600 * 8, []), (3600 * 8 + 1, ["clock jump"])])
def test_audio_may_begin_an_hour_after_the_video(late: int, reasons: list[str]) -> None:
    log = EventLog(frozenset())
    decoded: Any = SimpleNamespace(rate=8, log=log, runs=lambda start: [(late, np.ones((1, 8), np.float32))])
    pieces = list(audio_reader._contiguous(decoded, 0, None, None))
    assert [event.reason for event in log.events] == reasons
    assert sum(each.shape[1] for each in pieces) == (0 if reasons else late + 8)
