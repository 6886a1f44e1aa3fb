"""Fraction of audio that is speech, by silero's voice activity detector, whose weights are in its package.

Movie Gen generates audio without speech (Movie Gen, sec. 6.1): there the fraction should be 0.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.core.checksums import verified_sha256
from eval.core.results import FRACTION, Item, Measurement, Score

RATE, CHUNK, THRESHOLD = 16_000, 512, 0.5  # the detector's own rate, step and threshold


class SpeechFraction:
    """Fraction of 32 ms steps that silero-vad classifies as speech; not a measure of its quality."""

    name = "speech_silero"
    scores = {
        "speech_silero": Score(0, FRACTION, f"steps of 32 ms with a probability of {THRESHOLD} or more")
    }

    def __init__(self) -> None:
        self.weights()

    def weights(self) -> Path:
        """Return the path of the weights; importing the package would change torch's number of threads.

        Raises:
            ValueError: the package is not installed.
        """
        spec = importlib.util.find_spec("silero_vad")
        if spec is None or spec.origin is None:
            raise ValueError("speech_silero: needs pip install silero-vad (of the extra `eval`)")
        return Path(spec.origin).parent / "data" / "silero_vad.jit"

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "silero-vad, silero_vad.jit",
            "weights_sha256": verified_sha256(self.weights()),
            "preprocessing": f"mean of channels, {RATE} Hz (resample_poly), steps of {CHUNK} samples, the "
            f"last one padded with silence; speech from {THRESHOLD} on",
        }

    def measure(self, item: Item) -> Measurement:
        speech_N = self.probabilities(item.audio.resample(RATE).mono)
        detail = {"most": round(float(speech_N.max()), 4), "steps": len(speech_N)}
        return Measurement({self.name: float((speech_N >= THRESHOLD).mean())}, detail)

    def probabilities(self, mono_S: np.ndarray) -> np.ndarray:
        """Return [ceil(S / 512)] in 0..1 of samples at 16 kHz; the detector's state is reset before."""
        import torch

        model: Any = load_program(self.weights())
        padded = np.pad(mono_S.astype(np.float32), (0, -len(mono_S) % CHUNK))
        with torch.inference_mode():
            model.reset_states()
            steps = torch.from_numpy(padded.reshape(-1, 1, CHUNK))
            return np.array([float(model(step, RATE)) for step in steps])
