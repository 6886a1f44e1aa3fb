"""Windows of a file's audio for networks, of which one at a time is in memory.

Legend: S samples, mono.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from eval.backbones.preprocessing import padded_window
from eval.core.audio_pass import MonoStream, open_audio


def mono_pieces(path: Path, rate: int) -> Iterator[np.ndarray]:
    """Yield the audio of a file [S], mono at a rate.

    Raises:
        DecodeError: as `eval.core.audio.read_audio`.
    """
    info, pieces = open_audio(path)
    stream = MonoStream(info, rate)
    for samples_CS in pieces:
        yield stream.add(samples_CS)
    yield stream.finish()


def count_samples(path: Path, rate: int) -> int:
    """Return the number of samples of a file's audio at a rate; it is decoded for that."""
    return sum(len(mono_S) for mono_S in mono_pieces(path, rate))


def audio_windows(path: Path, rate: int, starts: Iterable[int], length: int) -> Iterator[np.ndarray]:
    """Yield float32 [length] from each start on, in ascending order; silence follows the end."""
    pieces, held_S, first = mono_pieces(path, rate), np.zeros(0, np.float32), 0
    for start in starts:
        while first + len(held_S) < start + length:
            piece = next(pieces, None)
            if piece is None:
                break
            held_S = np.concatenate([held_S, piece])
            skipped = min(max(start - first, 0), len(held_S))
            held_S, first = held_S[skipped:], first + skipped
        yield padded_window(held_S, start - first, length)
