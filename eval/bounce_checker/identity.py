"""Identity preservation: the objects of a Bounce video against those of its reference image."""

from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from eval.bounce_checker.checker import DEFAULTS, VERSION, Reading, analyze_video
from eval.bounce_checker.config import CheckerConfig
from eval.core.frame_metric import FrameMetric
from eval.core.frame_pass import run_pass
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_evenly
from eval.core.results import FRACTION, Item, Measurement, Score


class BounceIdentity(FrameMetric):
    """Fractions of the reference's objects found in the video; `reference` shows nothing else."""

    name = "bounce_identity"
    scores = {
        "identity": Score(1, FRACTION, "all objects of the reference found, with their shape and color"),
        "identity_shape": Score(1, FRACTION, "objects of the reference whose shape is found"),
        "identity_color": Score(1, FRACTION, "objects of the reference whose color is found"),
    }

    def __init__(self, settings: CheckerConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "settings": asdict(self.settings),
            "backbone": None,
            "preprocessing": "frames as decoded, RGB uint8, no resizing",
            "reference": "the sample's own",
        }

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        expected = run_pass(item.path("reference"), {"reading": self._read})["reading"]
        if isinstance(expected, Exception):
            raise expected
        if not expected.objects:
            raise ValueError("the reference shows no object of the Bounce world")
        found = yield from self._read(info)
        detail = {"reference": expected.to_dict(), "reading": found.to_dict()}
        return Measurement(match_objects(expected, found), detail)

    def _read(self, info: StreamInfo) -> FrameTask:
        frames_THWC, fps = yield from take_evenly(info, self.settings.max_frames)
        return analyze_video(frames_THWC, fps, self.settings)


def match_objects(expected: Reading, found: Reading) -> dict[str, float]:
    """Score the best one-to-one assignment of shapes and colors; missing objects count as wrong."""
    shape, color = (
        np.array(
            [[getattr(a, key) == getattr(b, key) for b in found.objects] for a in expected.objects], float
        )
        for key in ("shape", "color")
    )
    if not found.objects:
        return {"identity": 0.0, "identity_shape": 0.0, "identity_color": 0.0}
    pairs = linear_sum_assignment(-(shape + color + shape * color))
    num = len(expected.objects)
    return {
        "identity": float((shape * color)[pairs].sum() == num),
        "identity_shape": float(shape[pairs].sum() / num),
        "identity_color": float(color[pairs].sum() / num),
    }
