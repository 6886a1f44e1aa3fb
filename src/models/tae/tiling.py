"""Tiled encoding and decoding of long videos and large frames (Movie Gen, sec. 3.1.1).

Along time everything is a generator from chunks of any length to tiles, so that memory does not grow with
the length of the video. Tiles of the encoder do not overlap; those of the decoder do and are cross-faded.
Large frames are cut into overlapping squares that are blended in the same way.

Legend: B batch, C channels, T frames, H height, W width.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from src.models.tae.config import TilingConfig
from src.models.tae.model import TAE
from src.models.tae.posterior import Posterior


def encode_stream(tae: TAE, chunks_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Posterior]:
    """Yield the posterior of each tile of a video.

    Args:
        chunks_BCTHW: the video in [-1, 1], in order, in chunks of any length.

    Raises:
        ValueError: no frames, pixels that are not finite, or an error of `TAE.encode`.
    """
    tiling.check(tae.config)
    factor, first = tae.config.spatial_factor, 0

    def moments(tile_BCTHW: Tensor) -> Tensor:
        posterior = tae.encode(tile_BCTHW)
        return torch.cat([posterior.mean_BCTHW, posterior.logvar_BCTHW], 1)

    for tile_BCTHW, _ in _rows(chunks_BCTHW, tiling.frames, 0):
        last = first + tile_BCTHW.shape[2] - 1
        if not bool(torch.isfinite(tile_BCTHW).all()):
            raise ValueError(f"video has NaN or infinite pixels in frames {first} to {last}")
        size = (tiling.size, tiling.size_overlap)
        yield Posterior(*_tiled_frames(moments, tile_BCTHW, size, 1, factor).chunk(2, 1))
        first = last + 1
    if first == 0:
        raise ValueError("video has no frames")


def decode_stream(tae: TAE, latents_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Tensor]:
    """Yield the video of a latent in chunks, `temporal_factor` frames per latent frame.

    Args:
        latents_BCTHW: the latent in order, in chunks of any length.
    """
    tiling.check(tae.config)
    time, space = tae.config.temporal_factor, tae.config.spatial_factor
    size = (tiling.size // space, tiling.size_overlap // space)
    tail_BCTHW: Tensor | None = None  # end of the previous tile, to blend with the next one
    for tile_BCTHW, more in _rows(latents_BCTHW, tiling.frames // time, tiling.overlap // time):
        video_BCTHW = _tiled_frames(tae.decode, tile_BCTHW, size, space, 1)
        if tail_BCTHW is not None:
            shared = tail_BCTHW.shape[2]
            video_BCTHW[:, :, :shared] = fade(tail_BCTHW, video_BCTHW[:, :, :shared], 2)
        num_final = video_BCTHW.shape[2] - (tiling.overlap if more else 0)
        if num_final:
            yield video_BCTHW[:, :, :num_final]
        # A clone, so that the rest of the tile is freed.
        tail_BCTHW = video_BCTHW[:, :, num_final:].clone() if tiling.overlap else None


def reconstruct_stream(tae: TAE, chunks_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Tensor]:
    """Yield the reconstruction from the posterior's mean, with as many frames as the input."""
    num_read = 0

    def counted() -> Iterator[Tensor]:
        nonlocal num_read
        for chunk_BCTHW in chunks_BCTHW:
            num_read += chunk_BCTHW.shape[2]
            yield chunk_BCTHW

    latents = (posterior.mode() for posterior in encode_stream(tae, counted(), tiling))
    num_written = 0
    # Surplus frames belong to the last latent frame, which is decoded after the last chunk was read.
    for video_BCTHW in decode_stream(tae, latents, tiling):
        video_BCTHW = video_BCTHW[:, :, : num_read - num_written]
        num_written += video_BCTHW.shape[2]
        yield video_BCTHW


def encode_tiled(tae: TAE, video_BCTHW: Tensor, tiling: TilingConfig) -> Posterior:
    """Encode like `TAE.encode`, tile by tile."""
    tiles = list(encode_stream(tae, [video_BCTHW], tiling))
    return Posterior(
        torch.cat([t.mean_BCTHW for t in tiles], 2), torch.cat([t.logvar_BCTHW for t in tiles], 2)
    )


def decode_tiled(tae: TAE, latent_BCTHW: Tensor, num_frames: int | None, tiling: TilingConfig) -> Tensor:
    """Decode like `TAE.decode`, tile by tile."""
    return torch.cat(list(decode_stream(tae, [latent_BCTHW], tiling)), 2)[:, :, :num_frames]


def fade(old: Tensor, new: Tensor, dim: int) -> Tensor:
    """Cross-fade linearly from `old` to `new` along a dimension.

    The j-th of N weights of `new` is (j + 1/2) / N; the paper prints j / N, which is not symmetric in time.
    """
    n = old.shape[dim]
    weight = (torch.arange(n, device=old.device, dtype=torch.float32) + 0.5) / max(n, 1)
    weight = weight.view([-1 if d == dim else 1 for d in range(old.dim())]).to(old.dtype)
    return old + weight * (new - old)


def _rows(chunks_BCTHW: Iterable[Tensor], length: int, overlap: int) -> Iterator[tuple[Tensor, bool]]:
    """Yield tiles of `length` along time, the last one shorter, and whether more follow."""
    pending: deque[Tensor] = deque()
    count = 0
    for chunk_BCTHW in chunks_BCTHW:
        pending.append(chunk_BCTHW)
        count += chunk_BCTHW.shape[2]
        while count > length:
            joined_BCTHW = torch.cat(list(pending), 2) if len(pending) > 1 else pending[0]
            yield joined_BCTHW[:, :, :length], True
            pending = deque([joined_BCTHW[:, :, length - overlap :]])
            count -= length - overlap
    if count:
        yield torch.cat(list(pending), 2), False


def _tiled_frames(
    model: Callable[[Tensor], Tensor], x_BCTHW: Tensor, size: tuple[int, int], up: int, down: int
) -> Tensor:
    """Apply `model` to overlapping squares of the frames and blend them linearly.

    Args:
        size: side and overlap of a square, in positions of x; side 0 disables tiling.
        up, down: `model` maps `down` positions to `up` positions.
    """
    side, overlap = size
    height, width = x_BCTHW.shape[3:]
    if not side or (height <= side and width <= side):
        return model(x_BCTHW)
    rows = []
    for top, bottom in _spans(height, side, overlap):
        row = None
        spans = _spans(width, side, overlap)
        for (left, right), before in zip(spans, [None, *spans], strict=False):
            y = model(x_BCTHW[:, :, :, top:bottom, left:right])
            shared = 0 if before is None else (before[1] - left) * up // down
            row = y if row is None else _join(row, y, shared, 4)
        assert row is not None
        rows.append(row)
    frames = rows[0]
    for (old, new), row in zip(pairwise(_spans(height, side, overlap)), rows[1:], strict=True):
        frames = _join(frames, row, (old[1] - new[0]) * up // down, 3)
    return frames


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Return spans of `side` that cover `length`; the last one is shifted back to be of full size."""
    if length <= side:
        return [(0, length)]
    starts = [*range(0, length - side, side - overlap), length - side]
    return [(start, start + side) for start in starts]


def _join(a: Tensor, b: Tensor, shared: int, dim: int) -> Tensor:
    """Join two adjacent tiles that share their last and first positions along `dim`."""
    start = a.shape[dim] - shared
    blended = fade(a.narrow(dim, start, shared), b.narrow(dim, 0, shared), dim)
    return torch.cat([a.narrow(dim, 0, start), blended, b.narrow(dim, shared, b.shape[dim] - shared)], dim)
