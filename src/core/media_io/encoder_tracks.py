"""Streams of a video file that is being written, and the encoders of each file type.

Legend: H height, W width, C = 3 channels (RGB, uint8) of frames; C channels, S samples of audio.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from src.core.media_io.audio import Audio

# Macroblock-tree rate control of libx264 gives other results from call to call for equal frames (seen with
# AVX-512). Without it equal frames give equal bytes; files are 1.1 to 1.4 times as large at the same crf.
X264_PARAMS = "mbtree=0"
HD_HEIGHT = 720  # from here on BT.709, below BT.601: what players assume of files without tags
_TAG_BT709, _TAG_BT601, _TAG_RGB, _LIMITED, _FULL = 1, 6, 0, 1, 2


@dataclass(frozen=True)
class Container:
    """A file type: muxer, encoders of video and audio, and the ones that lose nothing."""

    muxer: str
    video: str = "libx264"
    audio: str = "aac"
    lossless_video: str = "libx264rgb"
    lossless_audio: str = "flac"


CONTAINERS = {
    ".mp4": Container("mp4"),
    ".m4v": Container("mp4"),
    ".mov": Container("mov", lossless_audio="pcm_s24le"),
    ".mkv": Container("matroska", lossless_video="ffv1"),
    ".webm": Container("webm", "libvpx-vp9", "libopus", "libvpx-vp9", "libopus"),
}


class VideoTrack:
    """The video stream of an open file."""

    def __init__(
        self,
        container: Any,
        kind: Container,
        height: int,
        width: int,
        rate: Fraction,
        crf: int,
        lossless: bool,
        max_gop: int = 0,
    ) -> None:
        self.container, self.num_frames = container, 0
        codec = kind.lossless_video if lossless else kind.video
        self.is_rgb = lossless
        self.matrix = "itu709" if height >= HD_HEIGHT else "itu601"
        tag = _TAG_RGB if lossless else _TAG_BT709 if height >= HD_HEIGHT else _TAG_BT601
        options = _codec_options(codec, crf, lossless) | ({"g": str(max_gop)} if max_gop else {})
        self.stream = container.add_stream(codec, rate=rate, options=options)
        self.stream.width, self.stream.height = width, height
        if lossless:
            self.stream.pix_fmt = "bgr0" if codec == "ffv1" else "rgb24"
        else:
            self.stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        context = self.stream.codec_context
        context.colorspace, context.color_range = tag, _FULL if lossless else _LIMITED
        context.color_primaries, context.color_trc = _TAG_BT709, _TAG_BT709
        context.thread_count = 1

    def write(self, frame_HWC: NDArray[np.uint8]) -> None:
        """Encode one frame."""
        height, width = self.stream.height, self.stream.width
        if frame_HWC.shape != (height, width, 3):
            raise ValueError(f"frame {self.num_frames}: expected {(height, width, 3)}, got {frame_HWC.shape}")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), format="rgb24")
        if self.is_rgb:
            frame = frame.reformat(format=self.stream.pix_fmt, threads=1)
        else:
            frame = frame.reformat(
                format=self.stream.pix_fmt, dst_colorspace=self.matrix, dst_color_range="MPEG", threads=1
            )
        context = self.stream.codec_context
        frame.colorspace, frame.color_range = context.colorspace, context.color_range
        frame.color_primaries, frame.color_trc = _TAG_BT709, _TAG_BT709
        frame.pts = self.num_frames
        frame.time_base = 1 / Fraction(self.stream.average_rate or self.stream.codec_context.framerate)
        self.container.mux(self.stream.encode(frame))
        self.num_frames += 1

    def finish(self) -> None:
        self.container.mux(self.stream.encode())


def _codec_options(codec: str, crf: int, lossless: bool) -> dict[str, str]:
    if codec == "ffv1":
        return {"level": "3", "slicecrc": "1", "threads": "1", "flags": "+bitexact"}
    if codec == "libvpx-vp9":
        return {"crf": str(crf), "b": "0", "row-mt": "0", "threads": "1", "flags": "+bitexact"}
    quality = {"qp": "0"} if lossless else {"crf": str(crf)}
    return {
        **quality,
        "preset": "medium",
        "threads": "1",
        "flags": "+bitexact",
        "x264-params": X264_PARAMS,
    }


class AudioTrack:
    """The audio stream of an open file; encoded as the video proceeds, so that both are interleaved."""

    def __init__(self, container: Any, kind: Container, audio: Audio, lossless: bool) -> None:
        if len(audio.samples_CS) not in (1, 2):
            raise ValueError(f"audio: expected 1 or 2 channels, got {len(audio.samples_CS)}")
        codec = kind.lossless_audio if lossless else kind.audio
        if codec == "libopus" and audio.rate != 48_000:
            audio = audio.resample(48_000)
        self.audio, self.container, self.at = audio, container, 0
        self.layout = "mono" if len(audio.samples_CS) == 1 else "stereo"
        self.stream = container.add_stream(codec, rate=audio.rate, layout=self.layout)
        context = self.stream.codec_context
        if codec in {"flac", "pcm_s24le"}:
            self.stream.format = "s32"
        else:
            context.bit_rate = 96_000 * len(audio.samples_CS)
        context.options = {"flags": "+bitexact"}

    def write_until(self, time_s: float) -> None:
        """Encode the samples before a time."""
        end = min(round(time_s * self.audio.rate), self.audio.samples_CS.shape[1])
        while self.at < end:
            samples_CS = self.audio.samples_CS[:, self.at : min(self.at + 1024, end)]
            frame = self._frame(np.ascontiguousarray(samples_CS, np.float32))
            self.container.mux(self.stream.encode(frame))
            self.at += samples_CS.shape[1]

    def _frame(self, samples_CS: NDArray[np.float32]) -> Any:
        if self.stream.format.name.startswith("s32"):  # 24 bits: what FLAC holds
            codes = np.clip(np.rint(samples_CS.astype(np.float64) * 2**23), -(2**23), 2**23 - 1)
            packed = np.ascontiguousarray(codes.astype(np.int32).T.reshape(1, -1)) * 256
            frame = av.AudioFrame.from_ndarray(packed, format="s32", layout=self.layout)
        else:
            frame = av.AudioFrame.from_ndarray(samples_CS, format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts = self.audio.rate, self.at
        frame.time_base = Fraction(1, self.audio.rate)
        return frame

    def finish(self) -> None:
        """Encode the rest, also what is longer than the video."""
        self.write_until(self.audio.samples_CS.shape[1] / self.audio.rate)
        self.container.mux(self.stream.encode())
