"""Scores of single samples by a judge, each with its reason."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from eval.core.axes import Axis, declare_axis
from eval.core.manifest import MEDIA_KEYS
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.judges.client import JudgeError, connect, encode_png
from eval.judges.config import JudgeConfig
from src.core.media_io.video import read_video


class JudgeMetric:
    """The scores of a judge; a reason that it gives stands in the detail of the sample's record."""

    def __init__(self, name: str, config: JudgeConfig) -> None:
        config.require_address(f"judges.{name}")
        if not config.scores:
            raise ValueError(f"judges.{name}.scores: name the scores that it returns")
        self.name, self.config = f"judge_{name}", config
        self.axis = Axis(config.axis, config.sub_axis)
        self.scores = {
            f"{key}_{name}": Score(
                each.better, FRACTION if (each.low, each.high) == (0, 1) else "", each.text or f"by {name}"
            )
            for key, each in config.scores.items()
        }
        self.judge = connect(config)
        declare_axis(self.name, self.axis)

    def describe(self) -> dict[str, Any]:
        c = self.config
        return {
            "own": "judge",
            "backbone": " ".join(c.command) or c.url,
            "version": c.version,
            "question": c.question,
            "preprocessing": f"{c.num_frames} frames as PNG" if c.num_frames else "the judge reads the files",
            "axis": [self.axis.name, self.axis.sub_axis],
        }

    def measure(self, item: Item) -> Measurement:
        answer = self.judge.ask({**describe_item(item, self.config), "scores": list(self.config.scores)})
        found, reasons = answer.get("scores"), answer.get("reasons", {})
        if not isinstance(found, Mapping):
            raise JudgeError("the answer has no `scores` by name")
        values = {
            own: read_score(key, found, self.config)
            for key, own in zip(self.config.scores, self.scores, strict=True)
        }
        return Measurement(values, {"reasons": reasons, "why": join_reasons(reasons)})


def build_judges(configs: Mapping[str, JudgeConfig]) -> Iterator[JudgeMetric]:
    """Yield the metric of each judge."""
    for name, config in configs.items():
        yield JudgeMetric(name, config)


def describe_item(item: Item, config: JudgeConfig) -> dict[str, Any]:
    """Return a request about a sample: its texts, the paths of its files, and frames if it needs them."""
    request: dict[str, Any] = {"id": item.sample.id, "prompt": item.sample.prompt}
    if config.question:
        request["question"] = config.question
    for key in MEDIA_KEYS:
        if getattr(item.sample, key) is not None:
            request[key] = str(item.path(key))
    if config.num_frames:
        request["frames"] = [encode_png(each) for each in even_frames(item, config.num_frames)]
    return request


def even_frames(item: Item, num: int) -> np.ndarray:
    """Return at most `num` frames of a sample, evenly from its first to its last."""
    frames_THWC = read_video(item.frames_path).frames_THWC
    indices = np.linspace(0, len(frames_THWC) - 1, min(num, len(frames_THWC))).round().astype(int)
    return frames_THWC[indices]


def read_score(name: str, found: Mapping[str, Any], config: JudgeConfig) -> float:
    """Return a score of an answer.

    Raises:
        JudgeError: it is missing, no number, or outside its limits.
    """
    value, limits = found.get(name), config.scores[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise JudgeError(f"score {name}: expected a number, got {value!r}")
    if not limits.low <= value <= limits.high:
        raise JudgeError(f"score {name}: expected {limits.low:g} to {limits.high:g}, got {value:g}")
    return float(value)


def join_reasons(reasons: Any) -> str:
    """Return the reasons of an answer as one text."""
    if isinstance(reasons, Mapping):
        return "; ".join(f"{name}: {text}" for name, text in reasons.items())
    return str(reasons)
