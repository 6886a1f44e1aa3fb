"""Is it the same individual? The objects of a Bounce film against those of the picture it was to show."""

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from eval.bounce_checker.checker import VERSION, Reading, read
from eval.core.results import SHARE, Item, Measurement, Score


class BounceIdentity:
    """`reference` is a picture or film of the individuals, and of nothing else. Both are read blindly."""

    name = "bounce_identity"
    scores = {
        "identity": Score(1, SHARE, "all of the reference's objects are there, of their shape and colour"),
        "identity_shape": Score(1, SHARE, "the reference's objects whose shape is found"),
        "identity_colour": Score(1, SHARE, "the reference's objects whose colour is found"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "preprocessing": "frames as decoded, RGB uint8, no resizing",
            "reference": "the sample's own",
        }

    def measure(self, item: Item) -> Measurement:
        real, made = item.reference_video, item.video
        wanted = read(real.frames_THWC, real.fps)
        if not wanted.objects:
            raise ValueError("the reference shows no object of the Bounce world")
        found = read(made.frames_THWC, made.fps)
        detail = {"reference": wanted.to_dict(), "reading": found.to_dict()}
        return Measurement(same_individuals(wanted, found), detail)


def same_individuals(wanted: Reading, found: Reading) -> dict[str, float]:
    """Objects are paired so that shapes and colours agree the most; who is missing agrees in nothing."""
    shape, colour = (
        np.array([[getattr(a, key) == getattr(b, key) for b in found.objects] for a in wanted.objects], float)
        for key in ("shape", "colour")
    )
    if not found.objects:
        return {"identity": 0.0, "identity_shape": 0.0, "identity_colour": 0.0}
    pairs = linear_sum_assignment(-(shape + colour + shape * colour))
    num = len(wanted.objects)
    return {
        "identity": float((shape * colour)[pairs].sum() == num),
        "identity_shape": float(shape[pairs].sum() / num),
        "identity_colour": float(colour[pairs].sum() / num),
    }
