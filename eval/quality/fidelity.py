"""Fidelity of videos to their reference, frame by frame: PSNR, SSIM, MS-SSIM (torchmetrics)."""

import math
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from eval.core.frame_metric import PairMetric
from eval.core.frame_pairs import describe_conversion
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import PairTask
from eval.core.pairs_config import PairsConfig
from eval.core.results import Item, Measurement, Score
from eval.quality.config import FidelityConfig

DEFAULTS = FidelityConfig()
MIN_SIDE = 11  # pixels: the window
SMALLEST = 11 * 2**4 - 10  # pixels: five scales of the window


class Fidelity(PairMetric):
    """Needs `reference`: a video of the same length and shape; see `eval.core.frame_pass` for the pairing."""

    name = "fidelity"

    def __init__(self, settings: FidelityConfig = DEFAULTS, pairs: PairsConfig | None = None) -> None:
        super().__init__(pairs)
        self.settings = settings
        frames = f"mean over frames, RGB, range 255; equal frames count {settings.max_db:g} dB"
        self.scores = {
            "psnr": Score(1, "dB", frames),
            "psnr_video": Score(1, "dB", "of the mean squared error over all frames"),
            "ssim": Score(1, "", "gaussian window of 11 pixels, sigma 1.5, K 0.01 and 0.03, mean of RGB"),
            "ms_ssim": Score(1, "", f"five scales; videos of {SMALLEST} pixels or more"),
        }

    def describe(self) -> dict[str, Any]:
        return {
            "backbone": None,
            "preprocessing": describe_conversion(self.pairs),
            "settings": asdict(self.settings),
            "torchmetrics": version("torchmetrics"),
            "reference": "the sample's own",
        }

    def observe_pairs(self, item: Item, info: StreamInfo) -> PairTask:
        values: dict[str, list[float]] = {}
        while (pair := (yield)) is not None:
            for name, value in compare_frames(pair[0].rgb_HWC, pair[1].rgb_HWC).items():
                values.setdefault(name, []).append(value)
        errors = values.pop("mse")
        found = {
            "psnr": float(np.mean([psnr(e, self.settings.max_db) for e in errors])),
            "psnr_video": psnr(float(np.mean(errors)), self.settings.max_db),
        }
        return Measurement(found | {name: float(np.mean(each)) for name, each in values.items()})


def psnr(mse: float, max_db: float = DEFAULTS.max_db) -> float:
    """Return dB for a range of 255, at most `max_db`."""
    return min(max_db, 10 * math.log10(255**2 / mse)) if mse > 0 else max_db


def compare_frames(generated_HWC: np.ndarray, reference_HWC: np.ndarray) -> dict[str, float]:
    """Return mse, and ssim and ms_ssim of frames that are large enough for them."""
    import torch
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    pair = generated_HWC.astype(np.float64), reference_HWC.astype(np.float64)
    values = {"mse": float(((pair[0] - pair[1]) ** 2).mean())}
    generated, reference = (torch.from_numpy(frame).permute(2, 0, 1)[None] for frame in pair)
    side = min(generated_HWC.shape[:2])
    if side >= MIN_SIDE:
        values["ssim"] = float(ssim(generated, reference, data_range=255.0))
    if side >= SMALLEST:
        values["ms_ssim"] = float(ms_ssim(generated, reference, data_range=255.0))
    return values
