"""Fidelity of videos to their reference, frame by frame: PSNR, SSIM, MS-SSIM (torchmetrics)."""

import math
from importlib.metadata import version
from typing import Any

import numpy as np

from eval.core.results import Item, Measurement, Score
from eval.core.video import Video

CAP = 100.0  # dB for equal frames, whose infinite PSNR would dominate every mean
SMALLEST = 11 * 2**4 - 10  # pixels: five scales of an 11-pixel window


class Fidelity:
    """Needs `reference`: a video of the same size and number of frames."""

    name = "fidelity"
    scores = {
        "psnr": Score(1, "dB", f"mean over frames, RGB, range 255; equal frames count {CAP:.0f} dB"),
        "psnr_video": Score(1, "dB", "of the mean squared error over all frames"),
        "ssim": Score(1, "", "gaussian window of 11 pixels, sigma 1.5, K 0.01 and 0.03, mean of RGB"),
        "ms_ssim": Score(1, "", f"five scales; videos of {SMALLEST} pixels or more"),
    }

    def describe(self) -> dict[str, Any]:
        preprocessing = "frames as decoded, RGB uint8, no resizing"
        return {
            "backbone": None,
            "preprocessing": preprocessing,
            "torchmetrics": version("torchmetrics"),
            "reference": "the sample's own",
        }

    def measure(self, item: Item) -> Measurement:
        video, reference = paired_videos(item)
        return Measurement(compare_videos(video.frames_THWC, reference.frames_THWC))


def paired_videos(item: Item) -> tuple[Video, Video]:
    """Return a sample's video and its reference.

    Raises:
        ValueError: their sizes, numbers of frames or frame rates differ.
    """
    video, reference = item.video, item.reference_video
    if video.frames_THWC.shape != reference.frames_THWC.shape:
        shapes = (f"{list(each.frames_THWC.shape[:3])}" for each in (video, reference))
        raise ValueError("video and reference differ in frames or size: {} and {}".format(*shapes))
    if video.fps and reference.fps and not math.isclose(video.fps, reference.fps, rel_tol=1e-3):
        raise ValueError(f"video and reference differ in frame rate: {video.fps:g}, {reference.fps:g}")
    return video, reference


def psnr(mse: float) -> float:
    """Return dB for a range of 255, at most CAP."""
    return min(CAP, 10 * math.log10(255**2 / mse)) if mse > 0 else CAP


def compare_videos(generated_THWC: np.ndarray, reference_THWC: np.ndarray) -> dict[str, float]:
    """Return all values for two videos of equal shape; frames are processed one by one to bound memory."""
    import torch
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    side = min(generated_THWC.shape[1:3])
    errors, similar, scaled = [], [], []
    for pair in zip(generated_THWC, reference_THWC, strict=True):
        errors.append(float(((pair[0].astype(np.float64) - pair[1]) ** 2).mean()))
        generated, reference = (
            torch.from_numpy(frame.astype(np.float64)).permute(2, 0, 1)[None] for frame in pair
        )
        if side >= 11:
            similar.append(float(ssim(generated, reference, data_range=255.0)))
        if side >= SMALLEST:
            scaled.append(float(ms_ssim(generated, reference, data_range=255.0)))
    values = {"psnr": float(np.mean([psnr(e) for e in errors])), "psnr_video": psnr(float(np.mean(errors)))}
    values |= {"ssim": float(np.mean(similar))} if similar else {}
    return values | ({"ms_ssim": float(np.mean(scaled))} if scaled else {})
