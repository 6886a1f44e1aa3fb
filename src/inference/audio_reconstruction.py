"""Reconstruct one piece of audio with a codec: read, stream, score, write, at flat memory.

Legend: B batch, C channels, S samples, N signals.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from src.core.atomic import atomic_write
from src.core.errors import UserError
from src.inference.audio_scores import AudioScores, ScoreSums, join
from src.inference.audio_sources import Samples, SourceAudio
from src.models.codec.model import Codec
from src.models.codec.streaming import reconstruct_stream

ORIGINALS = "originals"


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
    return sums.scores(source), join(sums.beginning)


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
