"""One decode of audio for all metrics of it, in memory that does not grow with its length.

A task receives pieces of samples [C, S] at the file's own rate, then None, and returns its result. A task of
pairs receives (samples [S], reference's samples [S]), mono at the reference's rate: first what both have in
pieces of equal length, then the rest of the longer one with empty pieces.

Legend: C channels, S samples (float32, full scale is -1..1).
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from eval.core.frame_tasks import Results, TaskGroup
from eval.core.video import DecodeError
from src.core.media_io.audio import DEFAULT_LAYOUTS, mixdown_matrix
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.errors import MediaError

AudioTask = Generator[None, "np.ndarray | None", Any]
AudioPair = tuple[np.ndarray, np.ndarray]
AudioPairTask = Generator[None, "AudioPair | None", Any]


@dataclass(frozen=True)
class AudioInfo:
    """Rate in Hz, and the names of the channels (empty: the usual ones)."""

    rate: int
    channels: tuple[str, ...] = ()


AudioStart = Callable[[AudioInfo], AudioTask]
AudioPairStart = Callable[[AudioInfo], AudioPairTask]


def open_audio(path: Path) -> tuple[AudioInfo, Iterator[np.ndarray]]:
    """Return the format of a file's audio and its samples in pieces of about a second.

    Raises:
        DecodeError: here or between pieces, as `eval.core.audio.read_audio`.
    """
    try:
        form, pieces, _ = audio_pieces(path)
    except MediaError as error:
        raise DecodeError(f"{path}: {error}") from None
    return AudioInfo(form.rate, form.channels), _named(path, pieces)


def _named(path: Path, pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    heard = False
    try:
        for samples_CS in pieces:
            heard = True
            yield samples_CS
        if not heard:
            raise MediaError("no audio", "no audio samples")
    except MediaError as error:
        raise DecodeError(f"{path}: {error}") from None


class MonoStream:
    """Mixes pieces of audio down to one channel and resamples them (soxr), as if they were complete."""

    def __init__(self, info: AudioInfo, rate: int) -> None:
        self._channels = info.channels
        self._matrix: np.ndarray | None = None
        self._stream = None if rate == info.rate else soxr.ResampleStream(info.rate, rate, 1, dtype="float32")

    def add(self, samples_CS: np.ndarray) -> np.ndarray:
        """Return the samples [S] that are complete."""
        if self._matrix is None:
            self._matrix = mixdown_matrix(self._channels or DEFAULT_LAYOUTS[len(samples_CS)], 1)
        mono_S = samples_CS[0] if len(samples_CS) == 1 else (self._matrix @ samples_CS)[0]
        return self._resample(mono_S.astype(np.float32), last=False)

    def finish(self) -> np.ndarray:
        """Return the last samples."""
        return self._resample(np.zeros(0, np.float32), last=True)

    def _resample(self, mono_S: np.ndarray, *, last: bool) -> np.ndarray:
        if self._stream is None:
            return mono_S
        return self._stream.resample_chunk(np.ascontiguousarray(mono_S[:, None]), last=last).reshape(-1)


def run_audio_pass(
    audio: Path,
    tasks: Mapping[str, AudioStart],
    pair_tasks: Mapping[str, AudioPairStart] | None = None,
    reference: Callable[[], Path] | None = None,
) -> Results:
    """Decode audio once for all tasks, and its reference if there are tasks of pairs.

    A task that fails does not stop the others.
    """
    pairs = pair_tasks or {}
    try:
        info, pieces = open_audio(audio)
    except Exception as error:
        return dict.fromkeys([*tasks, *pairs], error)
    alone = TaskGroup(tasks, info)
    together = _AudioPairs(pairs, info, reference) if pairs else None
    try:
        for samples_CS in pieces:
            alone.send(samples_CS)
            if together is not None:
                together.send(samples_CS)
            if not alone.open and (together is None or not together.tasks.open):
                break
    except Exception as error:  # of the decoder: what tasks raise ends only themselves
        alone.stop(error)
        if together is not None:
            together.tasks.stop(error)
    alone.finish()
    if together is None:
        return alone.results
    together.finish()
    return alone.results | together.tasks.results


class _AudioPairs:
    """Tasks of pairs: cuts both signals into pieces of equal length."""

    def __init__(
        self, starts: Mapping[str, AudioPairStart], info: AudioInfo, reference: Callable[[], Path] | None
    ) -> None:
        self.tasks = TaskGroup({}, info)
        try:
            if reference is None:
                raise ValueError("sample has no `reference`")
            own, self.pieces = open_audio(reference())
        except Exception as error:
            self.tasks.results = dict.fromkeys(starts, error)
            return
        self.tasks = TaskGroup(starts, AudioInfo(own.rate))
        self.mono, self.reference_mono = MonoStream(info, own.rate), MonoStream(own, own.rate)
        self.held = self.reference_held = np.zeros(0, np.float32)

    def send(self, samples_CS: np.ndarray) -> None:
        if self.tasks.open:
            self._send(self.mono.add(samples_CS))

    def _send(self, mono_S: np.ndarray) -> None:
        """Send what both have of the samples so far; errors of the reference's decoder end the tasks."""
        self.held = np.concatenate([self.held, mono_S])
        try:
            while len(self.reference_held) < len(self.held):
                piece = next(self.pieces, None)
                if piece is None:
                    break
                self.reference_held = np.concatenate([self.reference_held, self.reference_mono.add(piece)])
        except Exception as error:
            self.tasks.stop(error)
            return
        num = min(len(self.held), len(self.reference_held))
        if num:
            self.tasks.send((self.held[:num], self.reference_held[:num]))
        self.held, self.reference_held = self.held[num:], self.reference_held[num:]
        if len(self.held) and not len(self.reference_held):  # the reference is over
            self.tasks.send((self.held, self.held[:0]))
            self.held = self.held[:0]

    def finish(self) -> None:
        """Send what is left of both."""
        if not self.tasks.open:
            return
        self._send(self.mono.finish())
        try:
            while len(self.reference_held):
                self.tasks.send((self.reference_held[:0], self.reference_held))
                piece = next(self.pieces, None)
                self.reference_held = self.held if piece is None else self.reference_mono.add(piece)
        except Exception as error:
            self.tasks.stop(error)
        self.tasks.finish()
