"""Clips and images of one media file as records: framing, cuts, lengths, audio, stored form.

Legend: T frames, C = 3 channels (RGB, uint8), H height, W width.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.aspect_buckets import bucket_sizes
from data.clip_audio import CHANNELS, read_clip_audio
from data.clip_cutting import Clip, Counts, SmallFrame, cut_clips
from data.config import ClipConfig
from data.framing import choose_framing
from data.work_units import Input
from src.core.media_io.errors import MediaError
from src.core.media_io.formats import media_kind
from src.core.media_io.frames import Frame
from src.core.media_io.image_reader import read_image
from src.core.media_io.video_reader import VideoReader, open_video
from src.core.media_io.video_writer import encode_video
from src.streaming.schema.bucket import Bucket
from src.streaming.schema.clip_audio import encode_audio
from src.streaming.schema.framing import Framing
from src.streaming.schema.media_record import MediaRecord, Playback, media_sha256
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import ClipRecord, PixelRecord, content_sha256

FILES_VERSION = 4  # raise when the same file would give other records
MAX_GOP = 32  # frames from one key frame to the next in stored clips: a random cut decodes half of them first


@dataclass(frozen=True)
class MediaFile:
    """A media file and what all its records have in common.

    `origin` begins every record's `source`: the path, and a license if there is one. `faults` collects what
    was left out of records, by reason.
    """

    path: Path
    name: str
    captions: tuple[str, ...]
    origin: dict[str, Any]
    config: ClipConfig
    faults: dict[str, str] = field(default_factory=dict)


def media_records(file: MediaFile, item: Input) -> Iterator[ClipRecord | Rejection]:
    """Yield the records of one file or stretch, and rejections for what breaks off or is left out.

    Raises:
        MediaError: nothing can be used, with the reason.
    """
    kind = media_kind(file.path)
    if kind == "image":
        yield _image_record(file)
        return
    if kind != "video":
        raise MediaError("unknown type", file.path.suffix)
    yield from _video_records(file, item)
    for reason, detail in file.faults.items():
        yield Rejection(file.name, reason, detail)


def _video_records(file: MediaFile, item: Input) -> Iterator[ClipRecord | Rejection]:
    counts, num_records, config = Counts(), 0, file.config
    with open_video(file.path) as video:
        if video.fps < config.min_fps:
            raise MediaError("frame rate too low", f"{video.fps:g} below min_fps={config.min_fps:g}")
        try:
            for clip, framing in _clips(video, item, config, counts):
                yield _clip_record(file, clip, framing, video, num_records)
                num_records += 1
                if config.max_clips and num_records == config.max_clips:
                    return
        except MediaError as error:
            if not num_records:
                raise
            detail = f"{error.detail}; {num_records} clips before it were used"
            yield Rejection(file.name, error.reason, detail)
        for event in video.events:  # a clip never spans one
            file.faults.setdefault(event.reason, f"{event.detail}; clips end there")
    if counts.frames == 0:
        raise MediaError("zero frames", f"no frame between {item.get('start', 0):g} s and the end")
    if not num_records:
        raise MediaError(
            "too short",
            f"longest shot has {counts.longest_shot} frames, shortest bucket {min(config.lengths)}",
        )


def _clips(
    video: VideoReader, item: Input, config: ClipConfig, counts: Counts
) -> Iterator[tuple[Clip, Framing]]:
    """Yield clips of a constant rate: at each tick of the clock the frame on the screen."""
    start_s = item.get("start", 0.0) + config.skip_start_s
    frames = video.frames(start_s, item.get("end"), fps=config.fps or video.fps)
    framing: list[Framing] = []
    small = _fit(frames, video, config, framing)
    for clip in cut_clips(small, config.lengths, config.cut_threshold, counts):
        yield clip, framing[0]


def _fit(
    frames: Iterator[Frame], video: VideoReader, config: ClipConfig, framing: list[Framing]
) -> Iterator[SmallFrame]:
    """Resize each frame at once, so that large frames never pile up."""
    shape: tuple[int, ...] = ()
    for frame in frames:
        if not framing:
            shape = frame.rgb_HWC.shape
            framing.append(_framing(frame.rgb_HWC, video.pixel_aspect, config))
        if frame.rgb_HWC.shape != shape:
            raise MediaError("frame size changes", f"at {frame.time_s:.2f} s")
        yield SmallFrame(framing[0].apply(frame.rgb_HWC[None])[0], frame.time_s, frame.segment)


def _framing(rgb_HWC: np.ndarray, pixel_aspect: float, config: ClipConfig) -> Framing:
    sizes = bucket_sizes(config.size, config.aspect_ratios, config.multiple)
    height, width = rgb_HWC.shape[:2]
    return choose_framing(height, width, pixel_aspect, sizes, config.fit, config.upscale)


def _clip_record(
    file: MediaFile, clip: Clip, framing: Framing, video: VideoReader, number: int
) -> ClipRecord:
    fps, num_frames = file.config.fps or video.fps, len(clip.video_TCHW)
    source = file.origin | {
        "start_s": round(clip.start_s, 6),
        "shot": clip.shot,
        "audio": video.has_audio,
        "duration_s": round(num_frames / fps, 6),
        **framing.facts,
    }
    audio_1N = _audio(file, clip.start_s, num_frames, fps, source)
    playback = Playback("video", clip.start_s, fps, framing)
    return _stored(file, f"{file.name}#{number}", clip.video_TCHW, fps, source, playback, audio_1N)


def _audio(
    file: MediaFile, start_s: float, num_frames: int, fps: float, source: dict[str, Any]
) -> Tensor | None:
    """Return a clip's audio as its record holds it, and note its levels in `source`."""
    channels = CHANNELS.get(file.config.audio)
    if channels is None:
        return None
    if source["audio"]:
        try:
            audio = read_clip_audio(file.path, start_s, num_frames, fps, channels)
        except MediaError as error:
            detail = f"{error.detail}; clips from {start_s:g} s on are without audio"
            file.faults.setdefault(f"audio: {error.reason}", detail)
        else:
            source["audio_levels"] = audio.levels
            return encode_audio(audio.samples_CS)
    return torch.zeros(1, 0, dtype=torch.uint8)


def _image_record(file: MediaFile) -> ClipRecord:
    rgb = read_image(file.path)
    framing = _framing(rgb, 1.0, file.config)
    source = file.origin | {"audio": False, **framing.facts}
    audio_1N = None if file.config.audio == "none" else torch.zeros(1, 0, dtype=torch.uint8)
    playback = Playback("image", framing=framing)
    return _stored(file, file.name, framing.apply(rgb[None]), 1.0, source, playback, audio_1N)


def _stored(
    file: MediaFile,
    id: str,
    video_TCHW: Tensor,
    fps: float,
    source: dict[str, Any],
    playback: Playback,
    audio_1N: Tensor | None,
) -> ClipRecord:
    """Return the record in the form that the config asks for: pixels, encoded, or the file's own bytes."""
    texts = {"captions": file.captions, "source": source, "audio_1N": audio_1N}
    if file.config.store == "raw":
        return PixelRecord(
            id=id, video_TCHW=video_TCHW, fps=fps, content_sha256=content_sha256(video_TCHW), **texts
        )
    if file.config.store == "h264":
        data = _encode(video_TCHW, fps, file.config.crf, playback.kind)
        playback = Playback(playback.kind)
    else:
        data = file.path.read_bytes()
    media_1N = torch.frombuffer(bytearray(data), dtype=torch.uint8)[None]
    num_frames, _, height, width = video_TCHW.shape
    return MediaRecord(
        id=id,
        media_1N=media_1N,
        playback=playback,
        bucket=Bucket(num_frames, height, width),
        fps=fps,
        content_sha256=media_sha256(media_1N, playback),
        **texts,
    )


def _encode(video_TCHW: Tensor, fps: float, crf: int, kind: str) -> bytes:
    """Return a clip as an mp4 file, or an image as a PNG file."""
    frames_THWC = video_TCHW.permute(0, 2, 3, 1).contiguous().numpy()
    file = io.BytesIO()
    if kind == "image":
        Image.fromarray(frames_THWC[0]).save(file, format="PNG")
    else:
        encode_video(file, frames_THWC, fps, crf, max_gop=MAX_GOP)
    return file.getvalue()
