"""Files of other muxers and encoders: frames and samples are those of the ffmpeg program, and in sync."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.core.media_io.audio_reader import read_audio
from src.core.media_io.formats import media_kind
from src.core.media_io.video import read_video
from tests.fixtures.odd_media import ffmpeg, ffmpeg_audio, ffmpeg_frames

RATE = 48_000
VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=16:d=2")
VIDEOS = {
    "mpeg2.ts": "-c:v mpeg2video -q:v 2 -bf 2 -c:a mp2",
    "theora.ogv": "-c:v libtheora -q:v 8 -c:a libvorbis",
    "windows.wmv": "-c:v wmv2 -q:v 2 -c:a wmav2",
    "flash.flv": "-c:v flv -q:v 2 -c:a libmp3lame -ar 44100",
    "dv_like.avi": "-c:v rawvideo -pix_fmt yuv411p -c:a pcm_s16le",
    "av1.webm": "-c:v libaom-av1 -usage realtime -cpu-used 8 -c:a libopus",
    "mjpeg.mov": "-c:v mjpeg -q:v 2 -c:a alac",
    "fragmented.mp4": "-c:v libx264 -bf 2 -g 8 -c:a aac -movflags +frag_keyframe+empty_moov",
    "plain.mp4": "-c:v libx264 -bf 2 -c:a aac",
}
AUDIO_FILES = {
    "aac.m4a": "-c:a aac",
    "windows.wma": "-c:a wmav2 -ar 44100",
    "rf64.wav": "-rf64 always",
    "long.w64": "-c:a pcm_s24le",
    "telephone.wav": "-c:a pcm_alaw -ar 8000",
    "float.wav": "-c:a pcm_f64le",
    "mpeg.mp3": "-c:a libmp3lame",
    "apple.caf": "-c:a alac",
    "surround.flac": "-af pan=7.1|FL=c0|FR=.5*c0|FC=.4*c0|LFE=.3*c0|BL=.2*c0|BR=.1*c0|SL=.6*c0|SR=.7*c0",
}


@pytest.fixture(scope="module")
def chirp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a rising tone, which fits itself at one shift only."""
    path = tmp_path_factory.mktemp("chirp") / "chirp.wav"
    time = np.arange(2 * RATE) / RATE
    soundfile.write(path, 0.4 * np.sin(2 * np.pi * (200 + 900 * time) * time), RATE, subtype="FLOAT")
    return path


def shift(found_S: np.ndarray, expected_S: np.ndarray) -> int:
    """Return by how many samples a signal is later than another."""
    size = 1 << (len(found_S) + len(expected_S)).bit_length()
    spectrum = np.fft.rfft(found_S, size) * np.conj(np.fft.rfft(expected_S, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)))
    return at - size if at > size // 2 else at


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_times_and_sync(tmp_path: Path, chirp: Path, name: str) -> None:
    path = tmp_path / name
    ffmpeg(*VIDEO, "-i", chirp, *VIDEOS[name].split(), path)
    assert media_kind(path) == "video"
    video = read_video(path)
    assert np.array_equal(video.frames_THWC, ffmpeg_frames(path, 64, 96))
    assert video.fps == pytest.approx(16, abs=0.01)
    assert video.times_T == pytest.approx(np.arange(32) / 16, abs=1e-3)  # many containers count milliseconds
    audio = read_audio(path, rate=RATE)
    assert abs(shift(audio.samples_CS[0], read_audio(chirp).samples_CS[0])) <= 24
    if name.endswith((".mp4", ".mov")):
        assert audio.samples_CS.shape[1] == 2 * RATE


@pytest.mark.parametrize("name", AUDIO_FILES)
def test_samples_of_audio_files(tmp_path: Path, chirp: Path, name: str) -> None:
    path = tmp_path / name
    ffmpeg("-i", chirp, *AUDIO_FILES[name].split(), path)
    assert media_kind(path) == "audio"
    audio = read_audio(path)
    expected_CS = ffmpeg_audio(path, len(audio.channels))
    assert np.array_equal(audio.samples_CS, expected_CS)
    assert len(audio.channels) == (8 if name.startswith("surround") else 1)
