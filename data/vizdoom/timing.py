"""Tics of the game, frames of a clip and samples of its audio, on one clock.

The game runs at 35 tics per second and makes exactly 1,260 stereo samples at 44.1 kHz in each. A recording is
resampled as one piece: seven tics are 8,820 samples at 44.1 kHz and 9,600 at 48 kHz, so a clip that begins at
a multiple of seven tics begins at a sample.

Legend: S samples, C channels.
"""

import math

import numpy as np
from numpy.typing import NDArray

from src.core.media_io.audio import Audio

TICS_PER_SECOND = 35
GAME_RATE = 44_100
SAMPLES_PER_TIC = GAME_RATE // TICS_PER_SECOND
RATE = 48_000
ALIGNED_TICS = 7
"""A clip begins at a multiple of this many tics of its recording."""


def count_tics(seconds: float) -> int:
    """Return the tics that cover a clip."""
    return math.ceil(seconds * TICS_PER_SECOND - 1e-9)


def frame_tics(num_frames: int, fps: float) -> NDArray[np.int64]:
    """Return the tic that is on the screen when each frame of a clip begins."""
    return np.floor(np.arange(num_frames) * (TICS_PER_SECOND / fps) + 1e-6).astype(np.int64)


def resample_clip(
    recording_SC: NDArray[np.int16], first_tic: int, num_samples: int, num_channels: int
) -> NDArray[np.float32]:
    """Return a clip's audio at 48 kHz, float32 [C, S], cut from its resampled recording.

    Args:
        recording_SC: the recording in stereo at 44.1 kHz; it begins before the clip.
        first_tic: the clip's first tic in it, a multiple of `ALIGNED_TICS`.
        num_samples: length of the clip at 48 kHz.
    """
    assert first_tic % ALIGNED_TICS == 0, first_tic
    samples_CS = recording_SC.T.astype(np.float32) / 32768.0
    audio = Audio(samples_CS, GAME_RATE).mixdown(num_channels).resample(RATE)
    start = first_tic * SAMPLES_PER_TIC * RATE // GAME_RATE
    clip_CS = audio.samples_CS[:, start : start + num_samples]
    assert clip_CS.shape[1] == num_samples, "the recording ends before the clip"
    return np.ascontiguousarray(clip_CS)
