"""The Bounce checker as a metric of `eval.run`: shares of films whose subject, motion, camera are right."""

from typing import Any

import numpy as np
import scipy

from data.worlds.vocabulary import STILL
from eval.alignment.bounce import VERSION, judge, read
from eval.manifest import Sample
from eval.media import Video
from eval.results import Measurement


class BounceMetric:
    """Judges films of the Bounce world against the facts in their manifest."""

    name = "bounce"
    scores = ("subject", "motion", "camera")

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "preprocessing": "frames as decoded, RGB uint8, no resizing",
            "subject": "number of objects, each one's shape and colour, all right",
            "motion": "each object's direction or stillness, and bounce or not, all right; films only",
            "camera": "the camera label; films only",
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }

    def measure(self, sample: Sample, video: Video) -> Measurement:
        if sample.facts is None:
            raise ValueError("names no facts to judge against")
        if "objects" not in sample.facts or "camera" not in sample.facts:
            raise ValueError("facts: expected those of a Bounce film, with objects and camera")
        reading = read(video.frames_THWC, video.fps)
        verdict = judge(reading, sample.facts)
        values = {"subject": float(verdict.subject)}
        if sample.facts.get("num_frames", 2) > 1:
            values |= {"motion": float(verdict.motion), "camera": float(verdict.camera)}
        detail = {
            "asked": [*map(_words, sample.facts["objects"]), f"camera: {sample.facts['camera']}"],
            "read": [*map(str, reading.objects), f"camera: {reading.camera}"],
            "why": verdict.why,
            "reading": reading.to_dict(),
        }
        return Measurement(values, detail)


def _words(wanted: dict[str, Any]) -> str:
    course = "still" if wanted["direction"] == STILL else f"moves {wanted['direction']}"
    return f"{wanted['colour']} {wanted['shape']}, {course}{', bounces' if wanted['bounces'] else ''}"
