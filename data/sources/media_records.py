"""Clips and images of one media file as records: framing, cuts, lengths."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.aspect_buckets import bucket_sizes
from data.clip_cutting import Clip, Counts, SmallFrame, cut_clips
from data.config import ClipConfig
from data.framing import Framing, choose_framing
from data.work_units import Input
from src.core.media_reader import (
    IMAGE_TYPES,
    Frame,
    MediaError,
    OpenVideo,
    open_video,
    read_image,
    resample_frames,
)
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord, content_sha256

FILES_VERSION = 2  # raise when the same file would give other records


def media_records(
    path: Path,
    item: Input,
    captions: tuple[str, ...],
    config: ClipConfig,
    name: str,
    origin: dict[str, Any],
) -> Iterator[PixelRecord | Rejection]:
    """Yield the records of one file or interval, and a rejection if it breaks off after some of them.

    Args:
        origin: what begins every record's `source`: the path, and a license if there is one.

    Raises:
        MediaError: nothing can be used, with the reason.
    """
    if path.suffix.lower() in IMAGE_TYPES:
        yield _image_record(path, origin, captions, config, name)
        return
    counts, num_records = Counts(), 0
    with open_video(path) as video:
        if video.fps < config.min_fps:
            raise MediaError("frame rate too low", f"{video.fps:g} below min_fps={config.min_fps:g}")
        try:
            for clip, framing in _clips(video, item, config, counts):
                yield _clip_record(clip, framing, video, origin, captions, config, f"{name}#{num_records}")
                num_records += 1
                if config.max_clips and num_records == config.max_clips:
                    return
        except MediaError as error:
            if not num_records:
                raise
            yield Rejection(name, error.reason, f"{error.detail}; {num_records} clips before it were used")
    if counts.frames == 0:
        raise MediaError("zero frames", f"no frame between {item.get('start', 0):g} s and the end")
    if not num_records:
        raise MediaError(
            "too short",
            f"longest shot has {counts.longest_shot} frames, shortest bucket {min(config.lengths)}",
        )


def _clips(
    video: OpenVideo, item: Input, config: ClipConfig, counts: Counts
) -> Iterator[tuple[Clip, Framing]]:
    start = item.get("start", 0.0) + config.skip_start_s
    frames = video.frames(start, item.get("end"))
    if config.fps:
        frames = resample_frames(frames, config.fps, start)
    framing: list[Framing] = []
    for clip in cut_clips(
        _fit(frames, video.pixel_aspect, config, framing), config.lengths, config.cut_threshold, counts
    ):
        yield clip, framing[0]


def _fit(
    frames: Iterator[Frame], pixel_aspect: float, config: ClipConfig, framing: list[Framing]
) -> Iterator[SmallFrame]:
    """Resize each frame at once, so that large frames never pile up."""
    shape: tuple[int, ...] = ()
    for frame in frames:
        if not framing:
            shape = frame.rgb_HWC.shape
            framing.append(_framing(frame.rgb_HWC, pixel_aspect, config))
        if frame.rgb_HWC.shape != shape:
            raise MediaError("damaged", f"frame size changes at {frame.time_s:.2f} s")
        yield SmallFrame(framing[0].apply(frame.rgb_HWC[None])[0], frame.time_s)


def _framing(rgb_HWC: np.ndarray, pixel_aspect: float, config: ClipConfig) -> Framing:
    sizes = bucket_sizes(config.size, config.aspect_ratios, config.multiple)
    height, width = rgb_HWC.shape[:2]
    return choose_framing(height, width, pixel_aspect, sizes, config.fit, config.upscale)


def _clip_record(
    clip: Clip,
    framing: Framing,
    video: OpenVideo,
    origin: dict[str, Any],
    captions: tuple[str, ...],
    config: ClipConfig,
    name: str,
) -> PixelRecord:
    fps = config.fps or video.fps
    source = {
        **origin,
        "start_s": round(clip.start_s, 6),
        "shot": clip.shot,
        "audio": video.has_audio,
    }
    source |= {"duration_s": round(len(clip.video_TCHW) / fps, 6), **framing.facts}
    return PixelRecord(
        id=name,
        video_TCHW=clip.video_TCHW,
        fps=fps,
        captions=captions,
        source=source,
        content_sha256=content_sha256(clip.video_TCHW),
    )


def _image_record(
    path: Path, origin: dict[str, Any], captions: tuple[str, ...], config: ClipConfig, name: str
) -> PixelRecord:
    rgb = read_image(path)
    framing = _framing(rgb, 1.0, config)
    video = framing.apply(rgb[None])
    return PixelRecord(
        id=name,
        video_TCHW=video,
        fps=1.0,
        captions=captions,
        source={**origin, "audio": False, **framing.facts},
        content_sha256=content_sha256(video),
    )
