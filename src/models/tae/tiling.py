"""Long films and large frames through the autoencoder, tile by tile (paper section 3.1.1; spec 1.4).

Along time everything is a generator: pieces of any length go in, tiles come out, and the film is never held.
The encoder's tiles do not overlap; the decoder's do, and where they do the earlier one fades out linearly as
the later one fades in. Large frames are cut into overlapping squares that are blended in the same way.

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


def encode_stream(tae: TAE, pieces_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Posterior]:
    """The posterior of each tile of a film, as soon as the tile is there.

    Args:
        pieces_BCTHW: the film in [-1, 1], in order, in pieces of any length.

    Raises:
        ValueError: no frames at all, pixels that are not finite, or what `TAE.encode` refuses.
    """
    tiling.check(tae.config)
    factor, first = tae.config.spatial_factor, 0

    def moments(tile_BCTHW: Tensor) -> Tensor:
        posterior = tae.encode(tile_BCTHW)
        return torch.cat([posterior.mean_BCTHW, posterior.logvar_BCTHW], 1)

    for tile_BCTHW, _ in _rows(pieces_BCTHW, tiling.frames, 0):
        last = first + tile_BCTHW.shape[2] - 1
        if not bool(torch.isfinite(tile_BCTHW).all()):
            raise ValueError(f"video: NaN or infinite pixels in frames {first} to {last}")
        size = (tiling.size, tiling.size_overlap)
        yield Posterior(*_tiled_frames(moments, tile_BCTHW, size, 1, factor).chunk(2, 1))
        first = last + 1
    if first == 0:
        raise ValueError("video: no frames")


def decode_stream(tae: TAE, latents_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Tensor]:
    """The film of a latent, piece by piece: `temporal_factor` frames for one latent frame.

    Args:
        latents_BCTHW: the latent in order, in pieces of any length.
    """
    tiling.check(tae.config)
    time, space = tae.config.temporal_factor, tae.config.spatial_factor
    size = (tiling.size // space, tiling.size_overlap // space)
    kept_BCTHW: Tensor | None = None  # the end of the film so far, to be blended with the next tile
    for tile_BCTHW, more in _rows(latents_BCTHW, tiling.frames // time, tiling.overlap // time):
        film_BCTHW = _tiled_frames(tae.decode, tile_BCTHW, size, space, 1)
        if kept_BCTHW is not None:
            shared = kept_BCTHW.shape[2]
            film_BCTHW[:, :, :shared] = fade(kept_BCTHW, film_BCTHW[:, :, :shared], 2)
        done = film_BCTHW.shape[2] - (tiling.overlap if more else 0)
        if done:
            yield film_BCTHW[:, :, :done]
        kept_BCTHW = film_BCTHW[:, :, done:].clone() if tiling.overlap else None


def reconstruct_stream(tae: TAE, pieces_BCTHW: Iterable[Tensor], tiling: TilingConfig) -> Iterator[Tensor]:
    """A film through the posterior's mean and back, as many frames as came in."""
    arrived = 0

    def counted() -> Iterator[Tensor]:
        nonlocal arrived
        for piece_BCTHW in pieces_BCTHW:
            arrived += piece_BCTHW.shape[2]
            yield piece_BCTHW

    latents = (posterior.mode() for posterior in encode_stream(tae, counted(), tiling))
    given = 0
    # Surplus frames belong to the last latent frame, which is decoded after the last piece has arrived.
    for film_BCTHW in decode_stream(tae, latents, tiling):
        film_BCTHW = film_BCTHW[:, :, : arrived - given]
        given += film_BCTHW.shape[2]
        yield film_BCTHW


def encode_tiled(tae: TAE, video_BCTHW: Tensor, tiling: TilingConfig) -> Posterior:
    """As `TAE.encode`, tile by tile."""
    tiles = list(encode_stream(tae, [video_BCTHW], tiling))
    return Posterior(
        torch.cat([t.mean_BCTHW for t in tiles], 2), torch.cat([t.logvar_BCTHW for t in tiles], 2)
    )


def decode_tiled(tae: TAE, latent_BCTHW: Tensor, num_frames: int | None, tiling: TilingConfig) -> Tensor:
    """As `TAE.decode`, tile by tile."""
    return torch.cat(list(decode_stream(tae, [latent_BCTHW], tiling)), 2)[:, :, :num_frames]


def fade(old: Tensor, new: Tensor, dim: int) -> Tensor:
    """`old` fades out and `new` fades in linearly along a dimension.

    The j-th of N weights of `new` is (j + 1/2) / N; the paper prints j / N, which is not symmetric in time.
    """
    n = old.shape[dim]
    weight = (torch.arange(n, device=old.device, dtype=torch.float32) + 0.5) / max(n, 1)
    weight = weight.view([-1 if d == dim else 1 for d in range(old.dim())]).to(old.dtype)
    return old + weight * (new - old)


def _rows(pieces_BCTHW: Iterable[Tensor], length: int, overlap: int) -> Iterator[tuple[Tensor, bool]]:
    """Tiles of `length` along time, the last one shorter, each with whether more follow."""
    held: deque[Tensor] = deque()
    count = 0
    for piece_BCTHW in pieces_BCTHW:
        held.append(piece_BCTHW)
        count += piece_BCTHW.shape[2]
        while count > length:
            whole_BCTHW = torch.cat(list(held), 2) if len(held) > 1 else held[0]
            yield whole_BCTHW[:, :, :length], True
            held = deque([whole_BCTHW[:, :, length - overlap :]])
            count -= length - overlap
    if count:
        yield torch.cat(list(held), 2), False


def _tiled_frames(
    model: Callable[[Tensor], Tensor], x_BCTHW: Tensor, size: tuple[int, int], up: int, down: int
) -> Tensor:
    """`model` applied to overlapping squares of the frames, blended linearly where they overlap.

    Args:
        size: side and overlap of a square in `x`'s own positions; side 0 takes frames whole.
        up, down: positions that come out for `down` positions that go in.
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
    whole = rows[0]
    for (old, new), row in zip(pairwise(_spans(height, side, overlap)), rows[1:], strict=True):
        whole = _join(whole, row, (old[1] - new[0]) * up // down, 3)
    return whole


def _spans(length: int, side: int, overlap: int) -> list[tuple[int, int]]:
    """Spans of `side` that cover `length`; the last one moves back to be whole."""
    if length <= side:
        return [(0, length)]
    starts = [*range(0, length - side, side - overlap), length - side]
    return [(start, start + side) for start in starts]


def _join(a: Tensor, b: Tensor, shared: int, dim: int) -> Tensor:
    """Two neighbours that share their last and first positions along `dim`."""
    kept = a.shape[dim] - shared
    middle = fade(a.narrow(dim, kept, shared), b.narrow(dim, 0, shared), dim)
    return torch.cat([a.narrow(dim, 0, kept), middle, b.narrow(dim, shared, b.shape[dim] - shared)], dim)
