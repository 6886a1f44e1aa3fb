"""Records from video and image files: a folder with captions next to the files, or a CSV."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.aspect_buckets import bucket_sizes
from data.clip_cutting import Clip, Counts, SmallFrame, cut_clips
from data.config import ClipConfig, FilesConfig
from data.framing import Framing, choose_framing
from data.sources.scan import list_csv, list_folder, read_captions
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
from src.core.rng import key
from src.streaming.schema.bucket import DataError
from src.streaming.schema.part_writer import Rejection
from src.streaming.schema.records import PixelRecord, content_sha256

FILES_VERSION = 1  # raise when the same file would give other records


@dataclass(frozen=True)
class FilesSource:
    """A folder or a CSV. An input is one file, or one interval of it."""

    config: FilesConfig

    def splits(self) -> dict[str, list[Input]]:
        path = Path(self.config.path)
        if not self.config.path or not path.exists():
            raise DataError(f"files.path={self.config.path!r}: no such folder or CSV file")
        items = list_folder(path) if path.is_dir() else list_csv(path)
        out: dict[str, list[Input]] = {"train": [], "val": []}
        val_paths = _val_paths({i["path"] for i in items if "reason" not in i}, self.config.val_fraction)
        for item in items:
            out["val" if item["path"] in val_paths else "train"].append(item)
        return out

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        path = Path(self.config.path)
        root = path if path.is_dir() else path.parent
        try:
            if "reason" in item:
                raise MediaError(item["reason"], item.get("detail", ""))
            captions = tuple(item.get("captions", ())) or read_captions(root / item["path"])
            if not captions and self.config.captions == "required":
                raise MediaError("no caption", "captions=required")
            yield from media_records(root / item["path"], item, captions, self.config.clip, self.name(item))
        except MediaError as error:
            yield Rejection(self.name(item), error.reason, error.detail)

    def version(self) -> dict[str, Any]:
        settings = dataclasses.asdict(self.config)
        del (
            settings["path"],
            settings["val_fraction"],
        )  # paths change nothing, and splits are in the inputs
        return {"files": FILES_VERSION, "config": settings}

    def name(self, item: Input) -> str:
        return item["path"] + (f"@{item['start']:g}" if item.get("start") else "")

    def unit_size(self, item: Input) -> int:
        return 256 if Path(item["path"]).suffix.lower() in IMAGE_TYPES else 4


def _val_paths(paths: set[str], fraction: float) -> set[str]:
    """Return the files kept for validation: those whose hash is below the fraction.

    With few files that may be none or all; then the file nearest to the threshold changes sides.
    """
    draws = {path: key(0, "data/val:" + path) / 2.0**63 for path in sorted(paths)}
    chosen = {path for path in draws if draws[path] < fraction}
    if fraction and len(draws) > 1:
        if not chosen:
            chosen = {min(draws, key=lambda path: draws[path])}
        elif len(chosen) == len(draws):
            chosen.remove(max(draws, key=lambda path: draws[path]))
    return chosen


def media_records(
    path: Path, item: Input, captions: tuple[str, ...], config: ClipConfig, name: str
) -> Iterator[PixelRecord | Rejection]:
    """Yield the records of one file or interval, and a rejection if it breaks off after some of them.

    Raises:
        MediaError: nothing can be used, with the reason.
    """
    if path.suffix.lower() in IMAGE_TYPES:
        yield _image_record(path, item, captions, config, name)
        return
    counts, num_records = Counts(), 0
    with open_video(path) as video:
        if video.fps < config.min_fps:
            raise MediaError("frame rate too low", f"{video.fps:g} below min_fps={config.min_fps:g}")
        try:
            for clip, framing in _clips(video, item, config, counts):
                yield _clip_record(clip, framing, video, item, captions, config, f"{name}#{num_records}")
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
    item: Input,
    captions: tuple[str, ...],
    config: ClipConfig,
    name: str,
) -> PixelRecord:
    fps = config.fps or video.fps
    source = {
        "path": item["path"],
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
    path: Path, item: Input, captions: tuple[str, ...], config: ClipConfig, name: str
) -> PixelRecord:
    rgb = read_image(path)
    framing = _framing(rgb, 1.0, config)
    video = framing.apply(rgb[None])
    return PixelRecord(
        id=name,
        video_TCHW=video,
        fps=1.0,
        captions=captions,
        source={"path": item["path"], "audio": False, **framing.facts},
        content_sha256=content_sha256(video),
    )
