"""How much of a sound is speech, by silero's voice activity detector, whose weights arrive inside a package.

Movie Gen's sound tracks are without speech (section 6.1): there the share is what a film has too much of.
"""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.backbones.extractor import checked_weights
from eval.core.results import SHARE, Item, Measurement, Score

RATE, CHUNK, LEAST = 16_000, 512, 0.5  # the detector's own rate, step and threshold


class SpeechShare:
    """Share of steps of 32 ms that silero-vad takes for speech; says nothing of what is said, or how well."""

    name = "speech_silero"
    scores = {"speech_silero": Score(0, SHARE, f"steps of 32 ms with a probability of {LEAST} or more")}

    def __init__(self) -> None:
        self.weights()

    def weights(self) -> Path:
        """The package is read as files: importing it sets torch's threads.

        Raises:
            ValueError: where the package is not there.
        """
        spec = importlib.util.find_spec("silero_vad")
        if spec is None or spec.origin is None:
            raise ValueError("speech_silero: needs pip install silero-vad (of the extra `eval`)")
        return Path(spec.origin).parent / "data" / "silero_vad.jit"

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "silero-vad, silero_vad.jit",
            "weights_sha256": checked_weights(self.weights()),
            "preprocessing": f"mean of channels, {RATE} Hz (resample_poly), steps of {CHUNK} samples, the "
            f"last one filled with silence; speech from {LEAST} on",
        }

    def measure(self, item: Item) -> Measurement:
        speech_N = self.probabilities(item.sound.at_rate(RATE).mono)
        detail = {"most": round(float(speech_N.max()), 4), "steps": len(speech_N)}
        return Measurement({self.name: float((speech_N >= LEAST).mean())}, detail)

    def probabilities(self, mono_S: np.ndarray) -> np.ndarray:
        """[ceil(S / 512)], 0..1, of samples at 16 kHz; the detector remembers within a sound only."""
        import torch

        model: Any = load_program(self.weights())
        padded = np.pad(mono_S.astype(np.float32), (0, -len(mono_S) % CHUNK))
        with torch.inference_mode():
            model.reset_states()
            steps = torch.from_numpy(padded.reshape(-1, 1, CHUNK))
            return np.array([float(model(step, RATE)) for step in steps])
