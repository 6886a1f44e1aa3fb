"""The Bounce checker as a metric of `eval.run`: shares of films whose subject, motion, camera are right."""

from typing import Any

import numpy as np
import scipy

from data.bounce.vocabulary import STILL
from eval.bounce_checker.checker import VERSION, Reading, Verdict, judge, read
from eval.core.results import SHARE, Item, Measurement, Score


class BounceMetric:
    """Judges films of the Bounce world against the facts in their manifest."""

    name = "bounce"
    scores = {
        "subject": Score(1, SHARE, "number of objects, their shapes and colours all right"),
        "motion": Score(1, SHARE, "directions or stillness and bounces all right"),
        "camera": Score(1, SHARE, "the camera's label right"),
    }

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

    def measure(self, item: Item) -> Measurement:
        sample, video = item.sample, item.video
        if sample.facts is None:
            raise ValueError("names no facts to judge against")
        if "objects" not in sample.facts or "camera" not in sample.facts:
            raise ValueError("facts: expected those of a Bounce film, with objects and camera")
        reading = read(video.frames_THWC, video.fps)
        verdict = judge(reading, sample.facts)
        values = {"subject": float(verdict.subject)}
        if sample.facts.get("num_frames", 2) > 1:
            values |= {"motion": float(verdict.motion), "camera": float(verdict.camera)}
        detail = {"checks": _checks(reading, verdict, sample.facts), "why": verdict.why}
        detail["reading"] = reading.to_dict()
        return Measurement(values, detail)


def _checks(reading: Reading, verdict: Verdict, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What was asked beside what was read, object by object, for people to look at."""
    checks = []
    for wanted, index in zip(facts["objects"], verdict.pairs, strict=True):
        found = None if index is None else str(reading.objects[index])
        checks.append(_check(words(wanted), found or "nothing"))
    extra = set(range(len(reading.objects))) - set(verdict.pairs)
    checks += [_check("nothing", str(reading.objects[index])) for index in sorted(extra)]
    if facts.get("num_frames", 2) > 1:
        checks.append(_check(facts["camera"], reading.camera))
    return checks


def _check(asked: str, read: str) -> dict[str, Any]:
    return {"asked": asked, "read": read, "right": asked == read}


def words(wanted: dict[str, Any]) -> str:
    """An asked object in the words of a reading."""
    course = "still" if wanted["direction"] == STILL else f"moves {wanted['direction']}"
    return f"{wanted['colour']} {wanted['shape']}, {course}{', bounces' if wanted['bounces'] else ''}"
