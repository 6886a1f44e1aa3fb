"""Reconstruct one piece of audio with a codec: read, stream, score, write, at flat memory.

Legend: B batch, C channels, S samples, N signals.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.core.media_io.audio import DEFAULT_LAYOUTS, mixdown_matrix
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.container import printable, printable_stem
from src.core.media_io.errors import MediaError, MediaEvent
from src.core.media_io.loudness import GATE_LUFS, LoudnessMeter
from src.losses.audio import fold_channels, mel_distance, si_sdr_of_sums, stft_distance
from src.models.codec.model import Codec
from src.models.codec.streaming import reconstruct_stream
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.clip_audio import RATE
from src.streaming.schema.records import LatentRecord
from src.training.modules.codec_config import CodecLossConfig

Samples = NDArray[np.float32]
BLOCK_S = 10.0  # spectral distances are means over blocks of this length
SPECTROGRAM_S = 10.0  # the beginning of which is shown
ORIGINALS = "originals"
DISTANCES = CodecLossConfig()  # windows and bands of the distances: those of DAC, for every codec


@dataclass
class SourceAudio:
    """Audio that is read lazily, at the codec's rate: `pieces` yields float32 [C, S]."""

    name: str
    source: str
    channels: tuple[str, ...]
    pieces: Callable[[], Iterator[Samples]]
    caption: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stem: str = ""  # of a part of a clip: its name, such as "impacts"
    events: list[MediaEvent] = field(default_factory=list)  # complete once the pieces are read


@dataclass
class AudioScores:
    """Scores of a reconstruction; None where they are not defined (silence)."""

    name: str
    source: str
    caption: str
    seconds: float
    num_channels: int
    si_sdr: float | None
    mel: float
    stft: float
    lufs: float | None
    lufs_original: float | None
    facts: dict[str, Any] = field(default_factory=dict)
    stem: str = ""


def open_files(paths: list[Path], rate: int) -> list[SourceAudio]:
    """Return audio files, or the audio of videos, resampled to `rate`.

    Raises:
        UserError: a file that is missing, holds no audio, or cannot be read.
    """
    sources = []
    for path in paths:
        try:
            form = audio_pieces(path, rate=rate)[0]
        except MediaError as error:
            raise UserError(f"audio={printable(path)}: {error}") from error
        events: list[MediaEvent] = []
        pieces = partial(_read_file, path, rate, events)
        sources.append(
            SourceAudio(printable_stem(path), printable(path), form.channels, pieces, events=events)
        )
    return sources


def _read_file(path: Path, rate: int, events: list[MediaEvent]) -> Iterator[Samples]:
    try:
        _, pieces, found = audio_pieces(path, rate=rate)
        yield from pieces
        events += found
    except MediaError as error:
        raise UserError(f"audio={path}: {error}") from error


def open_dataset(root: Path, num_clips: int, rate: int) -> list[SourceAudio]:
    """Return the audio of the first clips (0: all) of each bucket of a prepared data set.

    The stems of a clip that has some follow it, each as audio of its own.

    Raises:
        UserError: the data set holds latents, or audio of another rate; a clip has no audio.
    """
    dataset, sources = Dataset(root), []
    for bucket, reader in dataset.readers.items():
        for index in range(min(num_clips or len(reader), len(reader))):
            record = reader[index]
            audio_CS = None if isinstance(record, LatentRecord) else record.audio_CS
            found = record.sample_rate if isinstance(record, AudioRecord) else RATE
            if audio_CS is None or found != rate:
                what = "no audio" if audio_CS is None else f"audio at {found} Hz, the codec needs {rate}"
                raise UserError(f"data={root}: {record.id} has {what}")
            channels = DEFAULT_LAYOUTS[len(audio_CS)]
            clip = "".join(c if c.isalnum() or c in "_.-" else "_" for c in record.id).lstrip(".")
            caption = record.captions[0] if record.captions else ""
            stems = sorted(record.stems) if isinstance(record, AudioRecord) else []
            for stem in ("", *stems):
                pieces = partial(_read_record, dataset, bucket, index, stem)
                name, source = f"{clip}-{stem}".rstrip("-"), f"{root}/{bucket}/{index}"
                sources.append(SourceAudio(name, source, channels, pieces, caption, record.facts, stem))
    return sources


def _read_record(dataset: Dataset, bucket: str, index: int, stem: str) -> Iterator[Samples]:
    record = dataset.readers[bucket][index]
    audio_CS = record.stems[stem] if stem else record.audio_CS  # type: ignore[union-attr]
    assert audio_CS is not None
    yield (audio_CS.float() / 32768).numpy()


@dataclass
class ScoreSums:
    """Sums over a stream from which scores are computed at its end."""

    num_channels: int
    rate: int
    sums: Tensor = field(init=False)  # float64 [5, C]: x, y, xx, yy, xy
    num_samples: int = 0
    spectral: Tensor = field(default_factory=lambda: torch.zeros(2, dtype=torch.float64))
    beginning: list[tuple[Samples, Samples]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = torch.zeros(5, self.num_channels, dtype=torch.float64)
        self.meters = [LoudnessMeter(min(self.num_channels, 2), self.rate) for _ in range(2)]
        self._held: list[tuple[Samples, Samples]] = []

    def add(self, output_CS: Samples, original_CS: Samples) -> None:
        """Add the next samples of both."""
        x, y = (torch.from_numpy(each).double() for each in (output_CS, original_CS))
        self.sums += torch.stack([x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)])
        shown = round(SPECTROGRAM_S * self.rate)
        if self.num_samples < shown:
            self.beginning.append((output_CS, original_CS))
        self.num_samples += x.shape[1]
        for meter, samples_CS in zip(self.meters, (output_CS, original_CS), strict=True):
            meter.add(_front(samples_CS))
        self._held.append((output_CS, original_CS))
        if sum(each.shape[1] for each, _ in self._held) >= BLOCK_S * self.rate:
            self._measure_block()

    def _measure_block(self) -> None:
        if not self._held:
            return
        output, original = (torch.from_numpy(each) for each in _join(self._held))
        self._held = []
        x, y = fold_channels(output[None]), fold_channels(original[None])
        mel = mel_distance(x, y, self.rate, DISTANCES.mel_windows, DISTANCES.mel_bands).mean()
        stft = stft_distance(x, y, DISTANCES.stft_windows).mean()
        self.spectral += torch.stack([mel, stft]).double() * output.shape[1]

    def scores(self, source: SourceAudio) -> AudioScores:
        """Return the scores of everything that was added."""
        self._measure_block()
        x, y, xx, yy, xy = self.sums
        n = self.num_samples
        ratio = si_sdr_of_sums(xy - x * y / n, xx - x * x / n, yy - y * y / n)
        defined = ratio[~ratio.isnan()]
        lufs, lufs_original = (
            each if each > GATE_LUFS else None for each in (m.finish() for m in self.meters)
        )
        mel, stft = (self.spectral / n).tolist()
        return AudioScores(
            source.name,
            source.source,
            source.caption,
            n / self.rate,
            self.num_channels,
            float(defined.mean()) if len(defined) else None,
            mel,
            stft,
            lufs,
            lufs_original,
            source.facts,
            source.stem,
        )


def _join(pairs: list[tuple[Samples, Samples]]) -> tuple[Samples, Samples]:
    return np.concatenate([a for a, _ in pairs], 1), np.concatenate([b for _, b in pairs], 1)


def _front(samples_CS: Samples) -> Samples:
    """Return one or two channels; more are mixed down, as the meter knows no others."""
    if len(samples_CS) <= 2:
        return samples_CS
    return mixdown_matrix(DEFAULT_LAYOUTS[len(samples_CS)], 2) @ samples_CS


@torch.inference_mode()
def reconstruct_audio(
    codec: Codec, source: SourceAudio, out: Path, originals: bool
) -> tuple[AudioScores, tuple[Samples, Samples]]:
    """Write NAME.wav (32-bit float, at the codec's rate) and, with `originals`, the resampled original.

    Returns:
        The scores, and the beginning of reconstruction and original.

    Raises:
        UserError: no samples, channels that the codec does not code, NaN in the output.
    """
    config = codec.config
    channels = len(source.channels)
    if config.num_channels != 1 and channels != config.num_channels:
        raise UserError(
            f"{source.source}: has {channels} channels, this codec codes 2 together; a codec with "
            "model.num_channels=1 codes any number"
        )
    sums = ScoreSums(channels, config.sample_rate)
    pending: list[Samples] = []
    with ExitStack() as stack:
        names = [source.name, *([f"{ORIGINALS}/{source.name}"] if originals else [])]
        writers = [
            stack.enter_context(_wav_writer(out / f"{n}.wav", config.sample_rate, channels)) for n in names
        ]
        for output_CS in _stream(codec, source, pending):
            original_CS = _take(pending, output_CS.shape[1])
            if not np.isfinite(output_CS).all():
                at = sums.num_samples / config.sample_rate
                raise UserError(
                    f"{source.source}: model output is NaN after {at:.1f} s; checkpoint may be corrupt"
                )
            for writer, samples_CS in zip(writers, (output_CS, original_CS), strict=False):
                writer.write(samples_CS.T)
            sums.add(output_CS, original_CS)
        if not sums.num_samples:
            raise UserError(f"{source.source}: no audio samples")
    return sums.scores(source), _join(sums.beginning)


class _wav_writer(ExitStack):
    """A WAV file of 32-bit floats that appears when it is complete."""

    def __init__(self, path: Path, rate: int, channels: int) -> None:
        super().__init__()
        self.path, self.rate, self.channels = path, rate, channels

    def __enter__(self) -> soundfile.SoundFile:  # type: ignore[override]
        super().__enter__()
        temporary = self.enter_context(atomic_write(self.path))
        return self.enter_context(
            soundfile.SoundFile(temporary, "w", self.rate, self.channels, "FLOAT", format="WAV")
        )


def _stream(codec: Codec, source: SourceAudio, pending: list[Samples]) -> Iterator[Samples]:
    """Yield the reconstruction [C, S] in pieces; what is read is appended to `pending`."""
    device = next(codec.parameters()).device
    is_mono = codec.config.num_channels == 1

    def chunks() -> Iterator[Tensor]:
        for samples_CS in source.pieces():
            pending.append(samples_CS)
            audio = torch.from_numpy(samples_CS).to(device)
            yield audio[:, None] if is_mono else audio[None]

    for audio_BCS in reconstruct_stream(codec, chunks()):
        yield audio_BCS.flatten(0, 1).float().cpu().numpy()


def _take(pending: list[Samples], count: int) -> Samples:
    """Remove and return the first `count` samples of the pieces."""
    joined = np.concatenate(pending, 1)
    pending[:] = [joined[:, count:]]
    return joined[:, :count]
