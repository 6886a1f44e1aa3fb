"""Everything that is measured on the frames of a clip, gathered in one pass over its frames.

Legend: T frames, H height, W width, C = 3 (RGB, uint8, upright).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data.curation.audio_events import RATE
from data.curation.config import ScoringConfig
from data.curation.motion import VMAFMotion, vector_length
from data.curation.scene_cuts import ContentChange
from src.core.media_io.audio_reader import read_audio
from src.core.media_io.errors import MediaError
from src.core.media_io.probe import probe
from src.core.media_io.video_reader import open_video

MIN_SIDE = 32  # pixels
MAX_STILL_SIDE = 1920  # of the longer side of stills


@dataclass(frozen=True)
class ClipFrames:
    """A decoded clip: small frames at a fixed rate, a few stills at full resolution, and its motion."""

    small_THWC: np.ndarray
    times_T: np.ndarray  # of the small frames, seconds
    stills_THWC: np.ndarray
    text_frames_THWC: np.ndarray
    content_T: np.ndarray  # change of content of every frame of the file's own rate
    content_fps: float
    num_frames: int
    vmaf_motion: float
    motion_vectors: float | None

    @property
    def fps(self) -> float:
        """Rate of the small frames."""
        return 1 / max(float(np.median(np.diff(self.times_T))), 1e-6) if len(self.times_T) > 1 else 1.0

    @property
    def gray_THW(self) -> np.ndarray:
        return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in self.small_THWC])


def read_clip(path: Path, start_s: float, end_s: float, fps: float, config: ScoringConfig) -> ClipFrames:
    """Decode [start_s, end_s) of a video of a known rate once.

    Small frames are every n-th one, n such that their rate is next to `config.fps`: uneven steps would look
    like a camera that shakes.

    Raises:
        MediaError: the file cannot be opened or decoded, or has fewer than two frames in the interval.
    """
    still_times = _middles(start_s, end_s, config.num_stills)
    text_times = _middles(start_s, end_s, config.text_frames)
    small, stills, texts = [], [], []
    motion, content, lengths = VMAFMotion(), ContentChange(), []
    shape: tuple[int, ...] = ()
    stride, times = max(1, round(fps / config.fps)), []
    for rgb, time_s, vectors in _decode(path, start_s, end_s):
        side = min(rgb.shape[:2])
        shape = shape or rgb.shape
        if rgb.shape != shape:
            raise MediaError("frame size changes", f"at {time_s:.2f} s")
        if side < MIN_SIDE:
            raise MediaError("too small", f"{rgb.shape[1]}x{rgb.shape[0]} pixels, at least {MIN_SIDE}")
        motion.add(rgb)
        if vectors is not None and (length := vector_length(vectors, side)) is not None:
            lengths.append(length)
        while len(stills) < len(still_times) and time_s >= still_times[len(stills)] - 1e-6:
            stills.append(_limit(rgb))
        while len(texts) < len(text_times) and time_s >= text_times[len(texts)] - 1e-6:
            texts.append(_limit(rgb))
        shrunk = _shrink(rgb, config.size)
        content.add(shrunk)
        if len(content.values) % stride == 1 or stride == 1:
            small.append(shrunk)
            times.append(time_s)
        last = rgb
    if motion.count < 2:
        raise MediaError("too few frames", f"{motion.count} between {start_s:g} and {end_s:g} s")
    stills = stills or [_limit(last)]
    return ClipFrames(
        small_THWC=np.stack(small),
        times_T=np.array(times),
        stills_THWC=np.stack(stills),
        text_frames_THWC=np.stack(texts or stills[:1]),
        content_T=np.array(content.values),
        content_fps=motion.count / max(end_s - start_s, 1e-6),
        num_frames=motion.count,
        vmaf_motion=motion.mean,
        motion_vectors=float(np.mean(lengths)) if lengths else None,
    )


def _middles(start_s: float, end_s: float, count: int) -> list[float]:
    """Return the middles of `count` equal parts."""
    return [start_s + (end_s - start_s) * (n + 0.5) / count for n in range(count)]


def _shrink(rgb_HWC: np.ndarray, size: int) -> np.ndarray:
    height, width = rgb_HWC.shape[:2]
    scale = min(1.0, size / min(height, width))
    shape = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb_HWC, shape, interpolation=cv2.INTER_AREA) if scale < 1 else rgb_HWC


def _limit(rgb_HWC: np.ndarray) -> np.ndarray:
    longer = max(rgb_HWC.shape[:2])
    scale = MAX_STILL_SIDE / longer
    return (
        cv2.resize(rgb_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else rgb_HWC
    )


def _decode(
    path: Path, start_s: float, end_s: float
) -> Iterator[tuple[np.ndarray, float, np.ndarray | None]]:
    """Yield frames, their times, and the motion vectors of codecs that have them."""
    with open_video(path, motion_vectors=True) as video:
        for frame in video.frames(start_s, end_s):
            native = frame.native
            vectors = native.side_data.get("MOTION_VECTORS") if native is not None else None
            yield frame.rgb_HWC, frame.time_s, vectors.to_ndarray() if vectors is not None else None


def read_header(path: Path) -> dict[str, Any]:
    """Return the scores of a video's header; sizes are upright.

    Raises:
        MediaError: the file cannot be opened, or is no video.
    """
    info = probe(path)
    if info.kind != "video":
        raise MediaError("not a video", info.kind)
    return {
        "duration_s": info.duration_s or _counted_length(path),
        "width": info.width,
        "height": info.height,
        "short_side": min(info.width, info.height),
        "aspect": info.width * info.pixel_aspect / info.height,
        "fps": info.fps,
        "has_audio": info.has_audio,
    }


def _counted_length(path: Path) -> float:
    """Return the length of a file whose header has none, from its packets; MPEG program streams."""
    with open_video(path) as video:
        return video.num_frames / video.fps


def read_mono(path: Path, start_s: float, end_s: float) -> np.ndarray:
    """Return the audio of an interval as mono samples at audio_events.RATE, float32."""
    return read_audio(path, rate=RATE, channels=1, start_s=start_s, end_s=end_s).mono
