"""Reconstruct one video with an autoencoder: read, pad, stream, score, write.

Legend: B batch (1), C channels, T frames, H height, W width.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from src.core.errors import UserError
from src.core.media_io.container import printable, printable_stem
from src.core.media_io.errors import MediaError, MediaEvent
from src.core.media_io.formats import media_kind
from src.core.media_io.frames import square_pixels
from src.core.media_io.image_reader import read_image
from src.core.media_io.image_writer import write_image
from src.core.media_io.video_reader import open_video
from src.core.media_io.video_writer import video_writer
from src.losses.video_metrics import score_frames
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import reconstruct_stream
from src.streaming.pixels import from_uint8, to_frames
from src.streaming.reader import Dataset

Pixels = NDArray[np.uint8]
CHUNK_FRAMES = 8  # frames read at a time
SSIM_WINDOW = 11
ORIGINALS = "originals"  # folder of the re-encoded original videos


@dataclass
class SourceVideo:
    """A video or image that is read lazily: `frames` yields uint8 [H, W, 3].

    `events` holds what was noticed while reading, such as jumps of the clock, once the frames are read.
    """

    name: str
    source: str
    fps: float
    is_image: bool
    frames: Callable[[], Iterator[Pixels]]
    caption: str = ""
    events: list[MediaEvent] = field(default_factory=list)


@dataclass(frozen=True)
class OutputFiles:
    """Files to write for each video: the folder, frames of the overview, H.264 quality, originals or not."""

    out: Path
    num_overview_frames: int = 6
    crf: int = 8
    originals: bool = False


@dataclass
class VideoScores:
    """PSNR in dB and SSIM of a reconstruction, frame by frame."""

    name: str
    source: str
    is_image: bool = False
    caption: str = ""
    height: int = 0
    width: int = 0
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)


def open_files(paths: list[Path], max_frames: int) -> list[SourceVideo]:
    """Return video and image files as sources of at most `max_frames` frames (0: all).

    Raises:
        UserError: a file that is missing or cannot be read.
    """
    sources = []
    for path in paths:
        fps, is_image = 1.0, media_kind(path) == "image"
        if not is_image:
            try:
                with open_video(path) as video:
                    fps = video.fps
            except MediaError as error:
                raise UserError(f"video={path}: {error}") from error
        events: list[MediaEvent] = []
        frames = partial(_read_file, path, max_frames, events)
        sources.append(
            SourceVideo(printable_stem(path), printable(path), fps, is_image, frames, events=events)
        )
    return sources


def open_dataset(root: Path, num_clips: int, max_frames: int) -> list[SourceVideo]:
    """Return the first clips (0: all) of each bucket of a prepared data set, each at most `max_frames` long.

    Raises:
        UserError: no data set, or one of latents.
    """
    dataset = Dataset(root)
    if dataset.info.kind != "pixels":
        raise UserError(f"data={root}: holds {dataset.info.kind}, expected pixels")
    sources = []
    for bucket, reader in dataset.readers.items():
        for index in range(min(num_clips or len(reader), len(reader))):
            record = dataset.pixels(bucket, index)
            name = re.sub(r"[^\w.-]", "_", record.id).lstrip(".")
            frames = partial(_read_clip, dataset, bucket, index, max_frames)
            source, caption = f"{root}/{bucket}/{index}", record.captions[0] if record.captions else ""
            sources.append(SourceVideo(name, source, record.fps, record.bucket.is_image, frames, caption))
    return sources


def _read_clip(dataset: Dataset, bucket: str, index: int, max_frames: int) -> Iterator[Pixels]:
    video_TCHW = dataset.pixels(bucket, index).video_TCHW
    yield from video_TCHW.permute(0, 2, 3, 1).numpy()[: max_frames or None]


def _read_file(path: Path, max_frames: int, events: list[MediaEvent]) -> Iterator[Pixels]:
    try:
        if media_kind(path) == "image":
            yield read_image(path)
            return
        with open_video(path) as video:
            for frame in islice(video.frames(fps=video.fps), max_frames or None):
                yield square_pixels(frame.rgb_HWC, video.pixel_aspect)
            events += video.events
    except MediaError as error:
        raise UserError(f"video={path}: {error}") from error


def reconstruct_video(tae: TAE, video: SourceVideo, files: OutputFiles, tiling: TilingConfig) -> VideoScores:
    """Write NAME.mp4, NAME-pair.mp4 (.png for an image) and NAME-frames.png; return the scores.

    Frames are padded on the right and below to a multiple of the model's factor, and cropped back. Videos of
    odd sizes repeat their last row or column, since mp4 needs even ones. The original goes into `originals`.

    Raises:
        UserError: no frames, frames too small for SSIM, of changing size, or NaN in the output.
    """
    scores = VideoScores(video.name, video.source, video.is_image, video.caption)
    overview = FrameOverview(files.num_overview_frames)
    with ExitStack() as stack:
        writers: dict[str, Callable[[Pixels], None]] = {}
        for originals, outputs_THWC in _reconstruct_frames(tae, video, tiling, scores):
            for original, output in zip(originals, outputs_THWC, strict=True):
                for name, frame in _frames_by_file(video, files, original, output).items():
                    if video.is_image:
                        write_image(files.out / f"{name}.png", frame)
                        continue
                    even = np.pad(frame, [(0, n % 2) for n in frame.shape[:2]] + [(0, 0)], mode="edge")
                    if name not in writers:
                        path = files.out / f"{name}.mp4"
                        height, width = even.shape[:2]
                        writer = video_writer(path, height, width, video.fps, files.crf)
                        writers[name] = stack.enter_context(writer)
                    writers[name](even)
                overview.add(np.concatenate((original, output), 0))
    write_image(files.out / f"{video.name}-frames.png", overview.image())
    return scores


def _frames_by_file(
    video: SourceVideo, files: OutputFiles, original: Pixels, output: Pixels
) -> dict[str, Pixels]:
    """Return the next frame of each output file of a video."""
    frames = {video.name: output, f"{video.name}-pair": np.concatenate((original, output), 1)}
    if files.originals and not video.is_image:
        frames[f"{ORIGINALS}/{video.name}"] = original
    return frames


def _reconstruct_frames(
    tae: TAE, video: SourceVideo, tiling: TilingConfig, scores: VideoScores
) -> Iterator[tuple[list[Pixels], Pixels]]:
    """Yield frames and their reconstructions, and add their scores; memory does not grow with the length."""
    pending: deque[Pixels] = deque()  # frames whose reconstruction has not come out of the model yet
    chunks = _padded_chunks(video, pending, tae, scores)
    try:
        for output_BCTHW in reconstruct_stream(tae, chunks, tiling):
            output_BCTHW = output_BCTHW[..., : scores.height, : scores.width].float().clamp(-1, 1).cpu()
            if not bool(torch.isfinite(output_BCTHW).all()):
                first = len(scores.psnr)
                raise UserError(
                    f"{video.source}: model output is NaN from frame {first} on; checkpoint may be corrupt"
                )
            originals = [pending.popleft() for _ in range(output_BCTHW.shape[2])]
            for t, frame in enumerate(originals):  # one by one: SSIM takes many times a frame's memory
                found = score_frames(output_BCTHW[:, :, t : t + 1], _to_tensor([frame]))
                scores.psnr.append(float(found["psnr"]))
                scores.ssim.append(float(found["ssim"]))
            yield originals, to_frames(output_BCTHW)[0]
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{video.source}: {error}") from error


def _padded_chunks(
    video: SourceVideo, pending: "deque[Pixels]", tae: TAE, scores: VideoScores
) -> Iterator[Tensor]:
    """Yield the video in padded chunks [1, 3, T, H, W]; the frames themselves are appended to `pending`."""
    frames, factor = video.frames(), tae.config.spatial_factor
    device = next(tae.parameters()).device
    while chunk := list(islice(frames, CHUNK_FRAMES)):
        if not scores.height:
            scores.height, scores.width = chunk[0].shape[:2]
            if min(chunk[0].shape[:2]) < SSIM_WINDOW:
                raise UserError(
                    f"{video.source}: {scores.width}x{scores.height} is too small; SSIM needs at least "
                    f"{SSIM_WINDOW} pixels a side"
                )
        sizes = {frame.shape[:2] for frame in chunk} | {(scores.height, scores.width)}
        if len(sizes) > 1:
            raise UserError(f"{video.source}: frame size changes within the video ({sorted(sizes)})")
        pending.extend(chunk)
        pad = (0, -scores.width % factor, 0, -scores.height % factor, 0, 0)
        yield F.pad(_to_tensor(chunk), pad, mode="replicate").to(device)


def _to_tensor(frames: list[Pixels]) -> Tensor:
    """Return frames as float32 [1, 3, T, H, W] in [-1, 1]."""
    return from_uint8(torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None])


class FrameOverview:
    """A few frames spread evenly over a video whose length is not known in advance.

    Keeps every `step`-th frame, and doubles the step when four times `num_frames` are kept.
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames, self.step, self.count = num_frames, 1, 0
        self.kept: list[Pixels] = []

    def add(self, frame: Pixels) -> None:
        if self.count % self.step == 0:
            self.kept.append(frame)
            if len(self.kept) > 4 * self.num_frames:
                self.kept, self.step = self.kept[::2], 2 * self.step
        self.count += 1

    def image(self) -> Pixels:
        """Return the frames side by side."""
        num_frames = min(self.num_frames, len(self.kept))
        indices = np.linspace(0, len(self.kept) - 1, num_frames).round().astype(int)
        return np.concatenate([self.kept[i] for i in indices], 1)
