"""aisfx: embeddings of sound effects (CNN of 9 layers, 2022), whose weights are part of a Python package.

It is not VGGish, PANNs or CLAP; its metrics carry `aisfx` in their names. The package's files are read
without importing it, which would need essentia and old versions of others (`pip install --no-deps aisfx`).
"""

import importlib.util
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.backbones.audio_windows import mono_pieces
from eval.backbones.extractor import Rows
from eval.core.checksums import verified_sha256

if TYPE_CHECKING:
    import torch

RATE, WINDOW, HOP, BANDS = 44_100, 2048, 1024, 96
MAX_BLOCKS = 16
BLOCK, BLOCK_HOP = 100, 50  # frames of the spectrogram: 2.3 s, every 1.2 s
LOG_MAX = 9.457798957824707  # maximum over the training sets, by which inputs are divided
HEAD = "ucsMixed"  # the one of nine heads that has the 69 categories of the Universal Category System


class Aisfx:
    """Windows of audio: `features` [N, 512], `logits` [N, 69] over the UCS categories."""

    name = "aisfx"
    media, distance = "audio", "fad"

    @cached_property
    def folder(self) -> Path:
        spec = importlib.util.find_spec("aisfx")
        if spec is None or spec.origin is None:
            raise ValueError("aisfx: needs pip install --no-deps aisfx")
        return Path(spec.origin).parent / "models"

    @cached_property
    def description(self) -> dict[str, Any]:
        return {
            "backbone": "aisfx X-Sequential-CE",
            "weights_sha256": verified_sha256(self.folder / "checkpoint.pth"),
            "preprocessing": f"mean of channels, {RATE} Hz (soxr), {BANDS} HTK mel bands of unit "
            f"sum, power, {WINDOW}/{HOP}, log10(1 + 1e4 x) / {LOG_MAX:.4f}; blocks of {BLOCK} frames, "
            f"every {BLOCK_HOP}; audio shorter than one block is padded with silence",
            "rows": f"windows of {BLOCK * HOP / RATE:.2f} s",
        }

    def describe(self) -> dict[str, Any]:
        return self.description

    @cached_property
    def model(self) -> "torch.nn.Module":
        import torch

        spec = importlib.util.spec_from_file_location("aisfx_cnn2d", self.folder / "cnn2d.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        scalar = (
            np._core.multiarray.scalar,
            "numpy.core.multiarray.scalar",
        )  # its name in NumPy 1, under which it was pickled
        allowed = [scalar, np.dtype, np.dtypes.Int64DType]
        with torch.serialization.safe_globals(allowed):
            weights, heads = torch.load(self.folder / "checkpoint.pth", map_location="cpu", weights_only=True)
        model = module.CrossNet(module.EmbeddingNet("max", 3, 1, 64), heads, "cpu")
        model.load_state_dict(weights)
        return model.eval()

    def extract(self, path: Path) -> Rows:
        return self.extract_samples(mono_pieces(path, RATE))

    def extract_samples(self, pieces: Iterable[np.ndarray]) -> Rows:
        """Return the rows of audio [S] at the network's rate that arrives in pieces."""
        import torch

        found = []
        with torch.inference_mode():
            for blocks_NTF in blocks(spectrogram(pieces)):
                found.append(self.model(torch.from_numpy(blocks_NTF), HEAD))
        features, logits = (torch.cat(each).numpy() for each in zip(*found, strict=True))
        return {"features": features, "logits": logits}


def spectrogram(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the scaled log mel spectrogram of audio in pieces, float32 [T, 96], about 0..1."""
    bank, window = mel_bank(), np.hanning(WINDOW)  # the window is not normalized
    held_S = np.zeros(WINDOW // 2)
    for piece_S in chain(pieces, (None,)):
        more_S = np.zeros(WINDOW // 2) if piece_S is None else piece_S.astype(np.float64)
        held_S = np.concatenate([held_S, more_S])
        num = (len(held_S) - WINDOW) // HOP + 1
        if num < 1:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(held_S, WINDOW)[: num * HOP : HOP]
        power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2
        held_S = held_S[num * HOP :]
        yield (np.log10(1 + 1e4 * power @ bank.T) / LOG_MAX).astype(np.float32)


def mel_bank() -> np.ndarray:
    """Return [96, WINDOW / 2 + 1]: triangular filters on the HTK mel scale, 0 to 22,050 Hz, each of sum 1."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    hertz = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bank = np.maximum(0, np.minimum((hertz - low) / (mid - low), (high - hertz) / (high - mid)))
    return bank / np.maximum(bank.sum(1, keepdims=True), 1e-12)


def blocks(pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield [N, 100, 96] of a spectrogram in pieces; a last partial block counts if it is the only one.

    There are at most MAX_BLOCKS in one array.
    """
    held_TF, found = np.zeros((0, BANDS), np.float32), False
    for piece_TF in pieces:
        held_TF = np.concatenate([held_TF, piece_TF])
        while (num := (len(held_TF) - BLOCK) // BLOCK_HOP + 1) > 0:
            starts = range(0, min(num, MAX_BLOCKS) * BLOCK_HOP, BLOCK_HOP)
            yield np.stack([held_TF[start : start + BLOCK] for start in starts])
            held_TF, found = held_TF[starts.stop :], True
    if not found:
        yield np.pad(held_TF, ((0, BLOCK - len(held_TF)), (0, 0)))[None]
