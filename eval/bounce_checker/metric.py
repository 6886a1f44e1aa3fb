"""The Bounce checker as a metric of `eval.run`: videos with correct subject, motion and camera."""

from dataclasses import asdict
from typing import Any

import numpy as np
import scipy

from data.bounce.vocabulary import STILL
from eval.bounce_checker.checker import (
    DEFAULTS,
    VERSION,
    Reading,
    Verdict,
    analyze_video,
    evaluate_reading,
)
from eval.bounce_checker.config import CheckerConfig
from eval.core.frame_metric import FrameMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import FrameTask, take_evenly
from eval.core.results import FRACTION, Item, Measurement, Score


class BounceMetric(FrameMetric):
    """Score videos of the Bounce world against the facts in their manifest."""

    name = "bounce"
    scores = {
        "subject": Score(1, FRACTION, "number, shapes and colors of the objects all correct"),
        "motion": Score(1, FRACTION, "directions or stillness and bounces all correct"),
        "camera": Score(1, FRACTION, "camera label correct"),
    }

    def __init__(self, settings: CheckerConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "settings": asdict(self.settings),
            "backbone": None,
            "preprocessing": "frames as decoded, RGB uint8, no resizing",
            "subject": "number of objects, each one's shape and color, all correct",
            "motion": "each object's direction or stillness, and bounce or not, all correct; videos only",
            "camera": "camera label; videos only",
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }

    def observe(self, item: Item, info: StreamInfo) -> FrameTask:
        sample = item.sample
        if sample.facts is None:
            raise ValueError("sample has no `facts`")
        if "objects" not in sample.facts or "camera" not in sample.facts:
            raise ValueError("facts: expected those of a Bounce video, with objects and camera")
        frames_THWC, fps = yield from take_evenly(info, self.settings.max_frames)
        reading = analyze_video(frames_THWC, fps, self.settings)
        verdict = evaluate_reading(reading, sample.facts)
        values = {"subject": float(verdict.subject)}
        if sample.facts.get("num_frames", 2) > 1:
            values |= {"motion": float(verdict.motion), "camera": float(verdict.camera)}
        detail = {"checks": _checks(reading, verdict, sample.facts), "why": verdict.why}
        detail["reading"] = reading.to_dict()
        return Measurement(values, detail)


def _checks(reading: Reading, verdict: Verdict, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return expected and recognized values side by side, object by object, for the reports."""
    checks = []
    for fact, index in zip(facts["objects"], verdict.pairs, strict=True):
        found = None if index is None else str(reading.objects[index])
        checks.append(_check(describe_object(fact), found or "nothing"))
    extra = set(range(len(reading.objects))) - set(verdict.pairs)
    checks += [_check("nothing", str(reading.objects[index])) for index in sorted(extra)]
    if facts.get("num_frames", 2) > 1:
        checks.append(_check(facts["camera"], reading.camera))
    return checks


def _check(expected: str, found: str) -> dict[str, Any]:
    return {"expected": expected, "found": found, "correct": expected == found}


def describe_object(fact: dict[str, Any]) -> str:
    """Return an object's facts in the words of `str(ObjectReading)`."""
    course = "still" if fact["direction"] == STILL else f"moves {fact['direction']}"
    return f"{fact['color']} {fact['shape']}, {course}{', bounces' if fact['bounces'] else ''}"
