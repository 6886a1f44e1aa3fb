"""One film through the autoencoder: read, padded, streamed, compared, written.

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

from src.core import media_writer
from src.core.errors import UserError
from src.core.media_reader import IMAGE_TYPES, MediaError, open_video, read_image
from src.losses.video_metrics import frame_scores
from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.tiling import reconstruct_stream
from src.streaming.pixels import from_uint8, to_frames
from src.streaming.reader import Dataset

Pixels = NDArray[np.uint8]
PIECE = 8  # frames read together
SSIM_WINDOW = 11
ORIGINALS = "originals"  # folder of the films as they were


@dataclass
class Film:
    """A film that is read when it is asked for. `frames` gives uint8 [H, W, 3]."""

    name: str
    source: str
    fps: float
    is_picture: bool
    frames: Callable[[], Iterator[Pixels]]


@dataclass(frozen=True)
class Files:
    """What is written of a film into `out`: frames in its picture, H.264 quality, the original too."""

    out: Path
    shown: int = 6
    crf: int = 8
    originals: bool = False


@dataclass
class Scores:
    """Scores of a reconstruction, frame by frame: PSNR in dB and SSIM."""

    name: str
    source: str
    is_picture: bool = False
    height: int = 0
    width: int = 0
    psnr: list[float] = field(default_factory=list)
    ssim: list[float] = field(default_factory=list)


def films_of(paths: list[Path], most: int) -> list[Film]:
    """Videos and pictures as films of at most `most` frames (0: all).

    Raises:
        UserError: a file that is missing or cannot be read, named.
    """
    found = []
    for path in paths:
        fps, is_picture = 1.0, path.suffix.lower() in IMAGE_TYPES
        if not is_picture:
            try:
                with open_video(path) as video:
                    fps = video.fps
            except MediaError as error:
                raise UserError(f"video={path}: {error}") from error
        frames = partial(_read, path, most)
        found.append(Film(path.stem, str(path), fps, is_picture, frames))
    return found


def clips(root: Path, number: int, most: int) -> list[Film]:
    """The first `number` clips (0: all) of each bucket of a prepared data set, at most `most` frames each.

    Raises:
        UserError: no data set, or one of latents.
    """
    dataset = Dataset(root)
    if dataset.info.kind != "pixels":
        raise UserError(f"data={root}: holds {dataset.info.kind}, a reconstruction needs pixels")
    found = []
    for bucket, reader in dataset.readers.items():
        for index in range(min(number or len(reader), len(reader))):
            record = dataset.pixels(bucket, index)
            name = re.sub(r"[^\w.-]", "_", record.id).lstrip(".")
            frames = partial(_clip, dataset, bucket, index, most)
            source = f"{root}/{bucket}/{index}"
            found.append(Film(name, source, record.fps, record.bucket.is_image, frames))
    return found


def _clip(dataset: Dataset, bucket: str, index: int, most: int) -> Iterator[Pixels]:
    video_TCHW = dataset.pixels(bucket, index).video_TCHW
    yield from video_TCHW.permute(0, 2, 3, 1).numpy()[: most or None]


def _read(path: Path, most: int) -> Iterator[Pixels]:
    try:
        if path.suffix.lower() in IMAGE_TYPES:
            yield read_image(path)
            return
        with open_video(path) as video:
            for frame in islice(video.frames(), most or None):
                yield frame.rgb_HWC
    except MediaError as error:
        raise UserError(f"video={path}: {error}") from error


def reconstruct_film(tae: TAE, film: Film, files: Files, tiling: TilingConfig) -> Scores:
    """Write NAME.mp4, NAME-pair.mp4 (for a picture .png of both) and NAME-frames.png; returns the scores.

    Frames are padded on the right and below to what the model divides, and cut back. Film files of odd
    sizes repeat their last row or column, since mp4 needs even ones. The original goes into `originals`.

    Raises:
        UserError: no frames, frames too small for SSIM, of changing size, or pixels that are not finite.
    """
    scores, strip = Scores(film.name, film.source, film.is_picture), Strip(files.shown)
    with ExitStack() as stack:
        write: dict[str, Callable[[Pixels], None]] = {}
        for originals, made_THWC in _pairs(tae, film, tiling, scores):
            for original, made in zip(originals, made_THWC, strict=True):
                pair = np.concatenate((original, made), 1)
                for name, frame in _named(film, files, original, made, pair).items():
                    if film.is_picture:
                        media_writer.write_image(files.out / f"{name}.png", frame)
                        continue
                    even = np.pad(frame, [(0, n % 2) for n in frame.shape[:2]] + [(0, 0)], mode="edge")
                    if name not in write:
                        path = files.out / f"{name}.mp4"
                        writer = media_writer.video_writer(path, *even.shape[:2], film.fps, files.crf)
                        write[name] = stack.enter_context(writer)
                    write[name](even)
                strip.add(np.concatenate((original, made), 0))
    media_writer.write_image(files.out / f"{film.name}-frames.png", strip.picture())
    return scores


def _named(film: Film, files: Files, original: Pixels, made: Pixels, pair: Pixels) -> dict[str, Pixels]:
    """One frame of each file of a film."""
    named = {film.name: made, f"{film.name}-pair": pair}
    return named | ({f"{ORIGINALS}/{film.name}": original} if files.originals and not film.is_picture else {})


def _pairs(
    tae: TAE, film: Film, tiling: TilingConfig, scores: Scores
) -> Iterator[tuple[list[Pixels], Pixels]]:
    """Frames and their reconstructions as they come, with their scores added."""
    waiting: deque[Pixels] = deque()
    pieces = _pieces(film, waiting, tae, scores)
    try:
        for made_BCTHW in reconstruct_stream(tae, pieces, tiling):
            made_BCTHW = made_BCTHW[..., : scores.height, : scores.width].float().clamp(-1, 1).cpu()
            if not bool(torch.isfinite(made_BCTHW).all()):
                first = len(scores.psnr)
                raise UserError(
                    f"{film.source}: the model makes NaN from frame {first} on; are its weights whole?"
                )
            originals = [waiting.popleft() for _ in range(made_BCTHW.shape[2])]
            for t, frame in enumerate(originals):  # one by one: SSIM takes many times a frame's memory
                found = frame_scores(made_BCTHW[:, :, t : t + 1], _tensor([frame]))
                scores.psnr.append(float(found["psnr"]))
                scores.ssim.append(float(found["ssim"]))
            yield originals, to_frames(made_BCTHW)[0]
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{film.source}: {error}") from error


def _pieces(film: Film, waiting: "deque[Pixels]", tae: TAE, scores: Scores) -> Iterator[Tensor]:
    """The film in pieces that the model takes; the frames themselves wait for their reconstruction."""
    frames, factor = film.frames(), tae.config.spatial_factor
    device = next(tae.parameters()).device
    while piece := list(islice(frames, PIECE)):
        if not scores.height:
            scores.height, scores.width = piece[0].shape[:2]
            if min(piece[0].shape[:2]) < SSIM_WINDOW:
                raise UserError(
                    f"{film.source}: {scores.width}x{scores.height} is too small, {SSIM_WINDOW} is least"
                )
        sizes = {frame.shape[:2] for frame in piece} | {(scores.height, scores.width)}
        if len(sizes) > 1:
            raise UserError(f"{film.source}: its frames change their size ({sorted(sizes)})")
        waiting.extend(piece)
        pad = (0, -scores.width % factor, 0, -scores.height % factor, 0, 0)
        yield F.pad(_tensor(piece), pad, mode="replicate").to(device)


def _tensor(frames: list[Pixels]) -> Tensor:
    """Frames as float32 [1, 3, T, H, W] in [-1, 1]."""
    return from_uint8(torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None])


class Strip:
    """A few frames spread evenly over a film whose length is not known beforehand."""

    def __init__(self, number: int) -> None:
        self.number, self.step, self.count = number, 1, 0
        self.kept: list[Pixels] = []

    def add(self, frame: Pixels) -> None:
        if self.count % self.step == 0:
            self.kept.append(frame)
            if len(self.kept) > 4 * self.number:
                self.kept, self.step = self.kept[::2], 2 * self.step
        self.count += 1

    def picture(self) -> Pixels:
        """The frames side by side."""
        number = min(self.number, len(self.kept))
        places = np.linspace(0, len(self.kept) - 1, number).round().astype(int)
        return np.concatenate([self.kept[i] for i in places], 1)
