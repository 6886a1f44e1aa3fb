"""Raise an error for metrics of a run that measured nothing at all."""

from collections.abc import Iterable

from eval.core.aggregation import Aggregator
from eval.core.results import Row
from src.core.errors import UserError


class NothingMeasured(UserError):
    """A metric of the run has no value: its table would be read as if it had been measured."""

    exit_code = 1


def require_measured(metrics: Iterable[str], rows: list[Row], aggregator: Aggregator) -> None:
    """Raise NothingMeasured, naming each metric that has no value and its first reason."""
    measured = {row.metric.replace("distribution_", "features_") for row in rows if row.intervals}
    reasons = []
    for name in (name for name in metrics if name not in measured):
        own = [row for row in rows if row.metric.replace("distribution_", "features_") == name]
        first = next((each for each in aggregator.dropped if each["metric"] == name), None)
        if first is not None and not any(row.num_scored for row in own):
            reasons.append(f"every sample was dropped, first {first['id']} ({name}): {first['reason']}")
        elif notes := [note for row in own for note in row.notes]:
            reasons.append(f"{name}: {notes[0]}")
        else:
            needs = (
                "distances between sets need reference=..." if name.startswith("features_") else "no value"
            )
            reasons.append(f"{name}: {needs}")
    if reasons:
        what = (
            "nothing was measured"
            if not measured
            else f"{len(reasons)} metric{'s' * (len(reasons) > 1)} measured nothing"
        )
        raise NothingMeasured(f"{what}: {'; '.join(reasons)}")
