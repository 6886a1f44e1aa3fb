"""Encoders of constructed clips: thresholds are set on one group of them and scored on the other."""

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe

SETTING = ("x264-18", "x264-28", "mpeg4")  # by PyAV
SCORING = ("x264-23", "x265-28", "vp9", "mpeg2")  # by the ffmpeg program of imageio-ffmpeg
X265 = "pools=1:log-level=none:frame-threads=1"
PYAV = {
    "x264-18": ("libx264", {"crf": "18", "preset": "veryfast", "threads": "1"}),
    "x264-28": ("libx264", {"crf": "28", "preset": "fast", "threads": "1"}),
    "mpeg4": ("mpeg4", {"qscale": "4", "threads": "1"}),
}
FFMPEG = {
    "x264-23": ("mkv", ["-c:v", "libx264", "-crf", "23", "-preset", "superfast"]),
    "x265-28": (
        "mp4",
        [
            "-c:v",
            "libx265",
            "-crf",
            "28",
            "-preset",
            "ultrafast",
            "-x265-params",
            "pools=1:log-level=none:frame-threads=1",
        ],
    ),
    "vp9": (
        "webm",
        ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "32"],
    ),
    "mpeg2": ("mpg", ["-c:v", "mpeg2video", "-q:v", "4", "-r", "25"]),
}


def encode(folder: Path, stem: str, frames_THWC: np.ndarray, fps: float, encoder: str) -> Path:
    """Write a clip and return its path; MPEG-2 knows few frame rates, so it repeats frames up to 25."""
    if encoder in PYAV:
        return _encode_pyav(folder / f"{stem}.mp4", frames_THWC, fps, *PYAV[encoder])
    suffix, arguments = FFMPEG[encoder]
    return _encode_ffmpeg(folder / f"{stem}.{suffix}", frames_THWC, fps, arguments)


def rate_of(encoder: str, fps: float) -> float:
    """Return the frame rate of a file that an encoder wrote."""
    return 25.0 if encoder == "mpeg2" else fps


def _encode_pyav(
    path: Path, frames_THWC: np.ndarray, fps: float, codec: str, options: dict[str, str]
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame_HWC in frames_THWC:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
            container.mux(stream.encode(image))
        container.mux(stream.encode())
    return path


def _encode_ffmpeg(path: Path, frames_THWC: np.ndarray, fps: float, arguments: list[str]) -> Path:
    height, width = frames_THWC.shape[1:3]
    command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", "-threads", "1", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}", "-i", "-"]
    command += [*arguments, "-pix_fmt", "yuv420p", "-threads", "1", str(path)]
    subprocess.run(command, input=frames_THWC.tobytes(), check=True, capture_output=True)
    return path


AUDIO_SETTING = ("aac", "flac")
AUDIO_SCORING = ("opus", "mp3", "aac-48k")
AUDIO = {
    "aac": ("m4a", ["-c:a", "aac", "-b:a", "96k"]),
    "flac": ("flac", ["-c:a", "flac"]),
    "opus": ("webm", ["-c:a", "libopus", "-b:a", "64k"]),
    "mp3": ("mp3", ["-c:a", "libmp3lame", "-b:a", "96k"]),
    "aac-48k": ("mp4", ["-ar", "48000", "-ac", "2", "-c:a", "aac", "-b:a", "128k"]),
}


def encode_audio(folder: Path, stem: str, mono_S: np.ndarray, rate: int, encoder: str) -> Path:
    """Write mono samples as audio of a codec and return the path."""
    suffix, arguments = AUDIO[encoder]
    path = folder / f"{stem}.{suffix}"
    command = [get_ffmpeg_exe(), "-y", "-loglevel", "error", "-f", "f32le", "-ar", str(rate), "-ac", "1"]
    samples = np.clip(mono_S, -1, 1).astype("<f4").tobytes()
    subprocess.run(
        [*command, "-i", "-", *arguments, str(path)], input=samples, check=True, capture_output=True
    )
    return path
