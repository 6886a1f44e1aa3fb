"""Encode and decode audio of any length in windows, with the values of one pass and flat memory.

Every layer looks at a bounded stretch. A window is extended on both sides by the frames that its own frames
depend on, and their results are dropped; so what remains equals the result for the complete signal.

Legend: B batch, C channels, S samples, L latent frames.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from src.models.codec.model import Codec
from src.models.codec.posterior import AudioPosterior

WINDOW_FRAMES = 100  # latent frames that are new in a window: 4 s


@dataclass(frozen=True)
class Window:
    """Part of a signal along its last axis; `left` and `right` count the positions of context in it."""

    data: Tensor
    left: int
    right: int


def cut_windows(chunks: Iterable[Tensor], size: int, context: int) -> Iterator[Window]:
    """Cut a signal that arrives in chunks into windows of `size` positions with context on both sides.

    The last window takes the rest, up to `size` + `context` positions.
    """
    buffer: Tensor | None = None
    left = 0
    for chunk in chunks:
        buffer = chunk if buffer is None else torch.cat([buffer, chunk], -1)
        while buffer.shape[-1] > left + size + context:
            yield Window(buffer[..., : left + size + context], left, context)
            start = left + size
            left = min(context, start)
            buffer = buffer[..., start - left :].clone()
    if buffer is not None and buffer.shape[-1] > left:
        yield Window(buffer, left, 0)


def encode_stream(
    codec: Codec, chunks: Iterable[Tensor], window_frames: int = WINDOW_FRAMES
) -> Iterator[AudioPosterior]:
    """Yield the posterior of audio that arrives in chunks [B, C, S] of any lengths."""
    hop, context = codec.config.hop, codec.encoder.context_frames()
    for window in cut_windows(chunks, window_frames * hop, context * hop):
        posterior = codec.encode(window.data)
        stop = posterior.mean_BCL.shape[-1] - window.right // hop
        yield posterior.crop(window.left // hop, stop)


def decode_stream(
    codec: Codec, latents: Iterable[Tensor], window_frames: int = WINDOW_FRAMES
) -> Iterator[Tensor]:
    """Yield audio [B, C, S] of latents that arrive in chunks [B, C, L]; S adds up to L * hop."""
    hop = codec.config.hop
    for window in cut_windows(latents, window_frames, codec.decoder.context_frames()):
        audio = codec.decode(window.data)
        yield audio[..., window.left * hop : audio.shape[-1] - window.right * hop]


def reconstruct_stream(
    codec: Codec, chunks: Iterable[Tensor], window_frames: int = WINDOW_FRAMES
) -> Iterator[Tensor]:
    """Yield the reconstruction of audio that arrives in chunks, from the posterior's mean, equally long."""
    num_read = num_written = 0

    def counted() -> Iterator[Tensor]:
        nonlocal num_read
        for chunk in chunks:
            num_read += chunk.shape[-1]
            yield chunk

    latents = (posterior.mode() for posterior in encode_stream(codec, counted(), window_frames))
    for audio in decode_stream(codec, latents, window_frames):
        # Only the last piece can be longer than what was read: all chunks were read before it.
        out = audio[..., : num_read - num_written]
        num_written += out.shape[-1]
        yield out
