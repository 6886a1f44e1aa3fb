"""Summary of all records: a row with intervals for each system, metric and slice."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eval.core.clusters import bootstrap_counts, clusters_of, group_codes
from eval.core.intervals import (
    MIN_UNITS,
    Interval,
    Kind,
    mean_interval,
    percentile_bounds,
    ratio_interval,
)
from eval.core.results import ALL, FRACTION, Record, Row, Score

NUM_AGGREGATED = 500  # resamples for intervals of values that a metric aggregates itself


@dataclass(frozen=True)
class SampleValues:
    """The numbers of one record; `values` is None of a sample that was dropped."""

    id: str
    prompt: str
    values: dict[str, float] | None
    pooled: dict[str, tuple[float, float]]


Aggregate = Callable[[Sequence[SampleValues]], Mapping[str, float]]
"""Makes the values of a table of the values of samples that were not dropped."""


class Aggregator:
    """Aggregates a stream of records; keeps only numbers, so that sets may be large."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], list[SampleValues]] = {}
        self.dropped: list[dict[str, str]] = []

    def add(self, record: Record) -> None:
        entry = SampleValues(record.id, record.prompt, record.values, record.pooled)
        for tag in (ALL, *dict.fromkeys(record.tags)):
            self._groups.setdefault((record.system, record.metric, tag), []).append(entry)
        if record.dropped is not None:
            self.dropped.append(
                {"id": record.id, "system": record.system, "metric": record.metric, "reason": record.dropped}
            )

    def summarize(
        self,
        *,
        scores: Mapping[str, Mapping[str, Score]] | None = None,
        slices: Iterable[str] = (),
        aggregates: Mapping[str, Aggregate] | None = None,
        seed: int = 0,
    ) -> list[Row]:
        """Return rows with 95 % intervals by system and metric: the full set first, then each slice.

        Args:
            scores: meaning of the values by metric and name; fractions have other intervals than the rest.
            slices: tags that get rows; none means every tag that occurs.
            aggregates: by metric, what makes the table's values of the samples' values in place of means.
            seed: of the bootstrap. Samples that share a prompt are a cluster.
        """
        allowed = set(slices)
        rows = []
        for system, metric, tag in sorted(self._groups, key=lambda k: (k[0], k[1], k[2] != ALL, k[2])):
            if tag != ALL and allowed and tag not in allowed:
                continue
            cell = self._groups[system, metric, tag]
            scored = [each for each in cell if each.values is not None]
            known = (scores or {}).get(metric, {})
            aggregate = (aggregates or {}).get(metric)
            rows.append(
                Row(
                    system=system,
                    metric=metric,
                    slice=tag,
                    num_samples=len(cell),
                    num_scored=len(scored),
                    intervals=(
                        _summarize_values(scored, known, seed)
                        if aggregate is None
                        else _aggregate_values(scored, aggregate, seed)
                    ),
                )
            )
        return rows


def _summarize_values(
    scored: list[SampleValues], scores: Mapping[str, Score], seed: int
) -> dict[str, Interval]:
    names = dict.fromkeys(name for each in scored for name in (*(each.values or {}), *each.pooled))
    found = {name: _summarize_value(scored, name, scores.get(name), seed) for name in names}
    return {name: interval for name, interval in found.items() if interval is not None}


def _aggregate_values(scored: list[SampleValues], aggregate: Aggregate, seed: int) -> dict[str, Interval]:
    """Return a metric's own values of a set, with intervals from samples of the clusters (prompts)."""
    if not scored:
        return {}
    groups = clusters_of([each.prompt for each in scored], [each.id for each in scored])
    codes = group_codes(groups, len(groups))
    num_groups, drawn = int(codes.max()) + 1, list[Mapping[str, float]]()
    if num_groups >= MIN_UNITS:
        drawn = [
            aggregate([scored[row] for row in np.repeat(np.arange(len(scored)), counts)])
            for counts in bootstrap_counts([codes], NUM_AGGREGATED, seed=seed)
        ]
    found = {}
    for name, value in aggregate(scored).items():
        low, high, method = None, None, f"none: below {MIN_UNITS} samples or prompts"
        if drawn:
            low, high = percentile_bounds([each[name] for each in drawn])
            method = f"bootstrap of {NUM_AGGREGATED} samples, percentiles"
        found[name] = Interval(float(value), low, high, len(scored), num_groups, method)
    return found


def _summarize_value(
    entries: list[SampleValues], name: str, score: Score | None, seed: int
) -> Interval | None:
    """Return the interval of a value over samples; None of a pooled one that counted nothing."""
    kind: Kind = "fraction" if score is not None and score.unit == FRACTION else "real"
    pooled = [(each, *each.pooled[name]) for each in entries if name in each.pooled]
    if pooled:
        found, tops, bottoms = zip(*pooled, strict=True)
        if not any(bottoms):
            return None
        groups = clusters_of([each.prompt for each in found], [each.id for each in found])
        return ratio_interval(tops, bottoms, groups, kind=kind)
    used = [each for each in entries if name in (each.values or {})]
    groups = clusters_of([each.prompt for each in used], [each.id for each in used])
    values = [(each.values or {})[name] for each in used]
    return mean_interval(values, groups, kind=kind, seed=seed)
