"""Fraction of audio that is speech, by silero's voice activity detector, whose weights are in its package.

Movie Gen generates audio without speech (Movie Gen, sec. 6.1): there the fraction should be 0.
"""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.core.audio_metric import AudioMetric
from eval.core.audio_pass import AudioInfo, AudioTask, MonoStream
from eval.core.checksums import verified_sha256
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.quality.config import VoiceConfig

RATE, CHUNK = 16_000, 512  # the detector's own rate and step
DEFAULTS = VoiceConfig()


class SpeechFraction(AudioMetric):
    """Fraction of 32 ms steps that silero-vad classifies as speech; not a measure of its quality."""

    name = "speech_silero"

    def __init__(self, settings: VoiceConfig = DEFAULTS) -> None:
        self.weights()
        self.settings = settings
        steps = f"steps of 32 ms with a probability of {settings.threshold:g} or more"
        self.scores = {"speech_silero": Score(0, FRACTION, steps)}

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
            "preprocessing": f"mean of channels, {RATE} Hz (soxr), steps of {CHUNK} samples, the last one "
            "padded with silence",
            "settings": asdict(self.settings),
        }

    def observe_audio(self, item: Item, info: AudioInfo) -> AudioTask:
        import torch

        model: Any = load_program(self.weights())
        model.reset_states()
        stream, held_S = MonoStream(info, RATE), np.zeros(0, np.float32)
        num = num_speech = 0
        most = 0.0
        while True:
            samples_CS = yield
            held_S = np.concatenate(
                [held_S, stream.finish() if samples_CS is None else stream.add(samples_CS)]
            )
            if samples_CS is None:
                held_S = np.pad(held_S, (0, -len(held_S) % CHUNK))
            complete = len(held_S) // CHUNK * CHUNK
            for step in torch.from_numpy(held_S[:complete].reshape(-1, 1, CHUNK)):
                with torch.inference_mode():
                    probability = float(model(step, RATE))
                num, num_speech = num + 1, num_speech + (probability >= self.settings.threshold)
                most = max(most, probability)
            held_S = held_S[complete:]
            if samples_CS is None:
                return Measurement({self.name: num_speech / num}, {"most": round(most, 4), "steps": num})
