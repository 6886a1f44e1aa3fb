"""Audio of a clip inside a record: 48 kHz, 16 bits, FLAC, exactly as long as the clip.

Legend: C channels (1 or 2), S samples, N bytes.
"""

import io

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

RATE = 48_000  # Movie Gen, sec. 6.1


def num_samples(num_frames: int, fps: float) -> int:
    """Return the samples of a clip: as long as its frames are shown."""
    return round(num_frames / fps * RATE)


def encode_audio(samples_CS: NDArray[np.int16]) -> Tensor:
    """Return samples as the bytes of a FLAC file, uint8 [1, N]; [1, 0] without samples."""
    if not samples_CS.size:
        return torch.zeros(1, 0, dtype=torch.uint8)
    file = io.BytesIO()
    soundfile.write(file, samples_CS.T, RATE, format="FLAC", subtype="PCM_16")
    return torch.frombuffer(bytearray(file.getbuffer()), dtype=torch.uint8)[None]


def decode_audio(audio_1N: Tensor) -> Tensor | None:
    """Return the samples of a FLAC file, int16 [C, S]; None where a clip has no audio."""
    if not audio_1N.numel():
        return None
    samples_SC, rate = soundfile.read(io.BytesIO(audio_1N.numpy().tobytes()), dtype="int16", always_2d=True)
    assert rate == RATE, rate
    return torch.from_numpy(np.ascontiguousarray(samples_SC.T))
