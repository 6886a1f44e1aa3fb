"""Metrics of sets of features other than the distances of `suite`: built in ones, and those of own code."""

from collections.abc import Mapping
from typing import Any, Protocol

from eval.core.intervals import Interval
from eval.core.results import Score
from eval.distribution.suite import FeatureSet, SetScore


class SetMetric(Protocol):
    """A metric of the features of a set, of each backbone, and of those of the reference if there is one."""

    name: str
    scores: dict[str, Score]

    def describe(self) -> dict[str, Any]:
        """Return what is measured and how."""
        ...

    def measure_set(
        self, generated: FeatureSet, reference: FeatureSet | None
    ) -> Mapping[str, float | Interval | str]:
        """Return values by name, with or without an interval, or a text that says why there is none."""
        ...


def score_set_metric(
    metric: SetMetric, backbone: str, generated: FeatureSet, reference: FeatureSet | None
) -> list[SetScore]:
    """Return the values of a metric over a backbone's features, each named NAME_BACKBONE.

    Any exception becomes the error of all its values.
    """
    try:
        values = metric.measure_set(generated, reference)
        return [
            SetScore(f"{name}_{backbone}", None, value)
            if isinstance(value, str)
            else SetScore(f"{name}_{backbone}", _with_interval(value, generated))
            for name, value in values.items()
        ]
    except Exception as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return [SetScore(f"{name}_{backbone}", None, reason) for name in metric.scores]


def _with_interval(value: float | Interval, generated: FeatureSet) -> Interval:
    if isinstance(value, Interval):
        return value
    num = generated.videos.num
    return Interval(float(value), None, None, num, num, "none, the metric gives none")
