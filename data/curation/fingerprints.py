"""Fingerprints of clips for near duplicates: perceptual hashes of stills, and an embedding.

The embedding is SSCD's where its TorchScript file is given, as in Movie Gen, else the mean EfficientNet-Lite0
feature of the stills, whose weights are in a package.

Legend: T stills, H height, W width, C = 3 (RGB, uint8), D dimensions.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from eval.backbones.checksummed_weights import load_program
from eval.backbones.efficientnet_lite import EfficientNetLite0

HASH_SIDE, HASH_BITS = 32, 8
MIRROR = np.uint64(0x5555555555555555)  # bits that change their value where an image is mirrored
SSCD_SIDE = 288
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
EMBEDDED_STILLS = 2  # first and last of the stills would often be of a fade: these are inner ones


def perceptual_hash(frame_HWC: np.ndarray) -> int:
    """Return 64 bits: signs of the low frequencies of a small gray copy (pHash); brightness has none."""
    gray = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small - small.mean())[:HASH_BITS, :HASH_BITS].ravel()
    return int(np.packbits(low > 0).view(">u8")[0])


def hash_distances(a_T: np.ndarray, b_T: np.ndarray) -> np.ndarray:
    """Return [len(a), len(b)]: differing bits of two clips' hashes, as they are or mirrored, the fewer.

    A mirrored image has the same cosines, those of odd frequency along x with the opposite sign.
    """
    differ = a_T.astype(np.uint64)[:, None] ^ b_T.astype(np.uint64)[None]
    return np.minimum(np.bitwise_count(differ), np.bitwise_count(differ ^ MIRROR))


def embed(stills_THWC: np.ndarray, copy_detection: str) -> np.ndarray:
    """Return the embedding of a clip [D], of unit length, float32."""
    frames = stills_THWC[np.linspace(0, len(stills_THWC) - 1, EMBEDDED_STILLS + 2).round().astype(int)[1:-1]]
    rows = _sscd(frames, copy_detection) if copy_detection else _backbone().extract_frames(frames)["features"]
    mean = rows.astype(np.float32).mean(0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _sscd(frames_THWC: np.ndarray, path: str) -> np.ndarray:
    import torch

    model = load_program(Path(path))
    rows = []
    for frame in frames_THWC:
        small = cv2.resize(frame, (SSCD_SIDE, SSCD_SIDE), interpolation=cv2.INTER_AREA)
        pixels = (small.astype(np.float32) / 255 - MEAN) / STD
        with torch.inference_mode():
            row = model(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())[0].numpy()
        rows.append(row / max(float(np.linalg.norm(row)), 1e-12))
    return np.stack(rows)


@cache
def _backbone() -> EfficientNetLite0:
    return EfficientNetLite0()
