"""Samples and metrics of two scored systems that may be compared, and their differences."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from eval.core.paired_tests import Difference, compare_pooled, compare_values, holm
from eval.core.results import Row, Score
from eval.core.scored_runs import ScoredSystem

T = TypeVar("T")
LIBRARY_KEYS = ("numpy", "scipy", "torch", "torchmetrics")  # of descriptions: versions of libraries


def correct_family(differences: list[Difference]) -> list[Difference]:
    """Return the differences with Holm's correction over all tests that were made, of all systems."""
    corrected = iter(holm([each.p for each in differences if each.p is not None]))
    return [each if each.p is None else replace(each, p_holm=next(corrected)) for each in differences]


def leaderboard_rows(systems: dict[str, ScoredSystem], first: ScoredSystem) -> list[Row]:
    """Return the rows of all systems under their names; notes mark what differs from the first one's."""
    own = {row.metric: row for row in first.rows}
    found = []
    for name, system in systems.items():
        for row in system.rows:
            notes, other = [], own.get(row.metric)
            if other is not None and system is not first:
                notes = [f"{name}: {note}" for note in _row_differences(row, other)]
                changed = measured_differences(
                    first.measured.get(row.metric, {}), system.measured.get(row.metric, {})
                )
                notes += [f"{name}: measured otherwise: {each}" for each in changed]
            found.append(replace(row, system=name, notes=(*row.notes, *notes)))
    return found


def _row_differences(row: Row, other: Row) -> list[str]:
    notes = []
    if row.num_scored != other.num_scored:
        notes.append(f"{row.num_scored} samples scored, {other.num_scored} of the baseline")
    if row.reference_key != other.reference_key:
        notes.append("another reference set than the baseline's")
    return notes


def compare_systems(
    a: ScoredSystem, b: ScoredSystem, scores: Mapping[str, Mapping[str, Score]], *, seed: int = 0
) -> tuple[list[Difference], list[str]]:
    """Compare all values that both systems have on common samples with the same prompt and reference.

    Returns:
        The differences, not yet corrected, and notes on all that is left out.
    """
    ids, notes = _comparable_ids(a, b)
    refused = dict[str, list[str]]()
    found = []
    for metric, score in dict.fromkeys([*a.pooled, *a.values]):
        if (metric, score) not in b.values and (metric, score) not in b.pooled:
            continue
        if score not in scores.get(metric, {}):  # of a metric that aggregates values of samples itself
            continue
        if metric not in refused:
            refused[metric] = measured_differences(a.measured.get(metric, {}), b.measured.get(metric, {}))
        if refused[metric]:
            continue
        test = scores[metric][score].better != 0
        key, prompts = (metric, score), a.prompts
        lone = len((set(a.values.get(key, ())) ^ set(b.values.get(key, ()))) & ids)
        if lone:
            notes.append(f"{score} ({metric}): {lone} values without a partner are left out")
        if key in a.pooled:
            left, right = (_restrict(each.pooled[key], ids) for each in (a, b))
            difference = compare_pooled(key, left, right, prompts, test=test, seed=seed)
        else:
            one, other = (_restrict(each.values[key], ids) for each in (a, b))
            difference = compare_values(key, one, other, prompts, test=test, seed=seed)
        if difference is not None:
            found.append(difference)
    notes += [
        f"{metric}: not compared, measured otherwise: {'; '.join(changes)}"
        for metric, changes in refused.items()
        if changes
    ]
    return found, notes


def _restrict(values: Mapping[str, T], ids: set[str]) -> dict[str, T]:
    """Return the values of these samples, in their own order."""
    return {name: value for name, value in values.items() if name in ids}


def _comparable_ids(a: ScoredSystem, b: ScoredSystem) -> tuple[set[str], list[str]]:
    """Return the ids of samples with the same prompt and reference, and notes on the others."""
    common = [name for name in a.prompts if name in b.prompts]
    other_prompt = {name for name in common if a.prompts[name] != b.prompts[name]}
    other_reference = {name for name in common if a.references[name] != b.references[name]} - other_prompt
    notes = []
    if lone := len(a.prompts) + len(b.prompts) - 2 * len(common):
        notes.append(f"{lone} samples of one system alone are left out")
    for names, what in ((other_prompt, "prompts"), (other_reference, "references")):
        if names:
            notes.append(f"{len(names)} samples with different {what} are left out, first {min(names)!r}")
    return set(common) - other_prompt - other_reference, notes


def measured_differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Return how the descriptions of two measurements differ, but for versions of libraries."""
    keys = [key for key in dict.fromkeys([*a, *b]) if key not in LIBRARY_KEYS]
    return [f"{key}: {_short(a.get(key))} | {_short(b.get(key))}" for key in keys if a.get(key) != b.get(key)]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
