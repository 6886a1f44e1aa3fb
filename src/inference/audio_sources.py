"""Audio to reconstruct, of files and of prepared data sets, read lazily.

Legend: C channels, S samples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.core.errors import UserError
from src.core.media_io.audio import DEFAULT_LAYOUTS
from src.core.media_io.audio_reader import audio_pieces
from src.core.media_io.container import printable, printable_stem
from src.core.media_io.errors import MediaError, MediaEvent
from src.streaming.reader import Dataset
from src.streaming.schema.audio_record import AudioRecord
from src.streaming.schema.clip_audio import RATE
from src.streaming.schema.records import LatentRecord

Samples = NDArray[np.float32]


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
