"""Tables of results: Markdown, LaTeX, CSV and JSON files, and the same tables for the terminal."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from eval.catalog import axis_of
from eval.core.axes import AXES
from eval.core.intervals import Interval
from eval.core.results import FRACTION, Row, Score
from eval.reports.plain_text import as_markdown
from src.core.markdown import markdown_table

Scores = dict[str, Score]
"""Name of a value -> its meaning, for one metric."""

UNKNOWN = Score(0)
SIGNIFICANT, SMALLEST_FIXED = 3, 1e-4  # digits of a mean; smaller means are in scientific notation
BEST = "★"
SKEWED = "†"  # after an interval of a skewed and small sample
LEGEND = f"95 % intervals in brackets; {SKEWED} skewed and small sample: the interval is too narrow"


def require_parent_dir(out: str) -> None:
    """Raise ValueError if the folder of the output file `out` is missing; an empty name is accepted."""
    if out and not Path(out).resolve().parent.is_dir():
        raise ValueError(f"out: no such folder: {Path(out).parent}")


def score_names(rows: list[Row]) -> list[str]:
    """Return the names of the values in order of first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row.intervals))


def score_of(scores: Scores, name: str) -> Score:
    """Return the meaning of a value; `fd_inf_efflite0` is found under the longest known prefix, `fd_inf`."""
    known = [key for key in scores if name == key or name.startswith(key + "_")]
    return scores[max(known, key=len)] if known else UNKNOWN


def heading(name: str, score: Score) -> str:
    """Return name, unit, and an arrow in the direction of better values."""
    unit = "%" if score.unit == FRACTION else score.unit
    return " ".join(filter(None, (name, unit, {1: "↑", -1: "↓"}.get(score.better, ""))))


def format_numbers(numbers: list[float], *, is_percent: bool = False) -> list[str]:
    """Format a mean, and its bounds with as many decimals.

    The mean has three significant digits or more (percentages two), unless its interval is so wide that
    further digits say nothing; means below 0.0001 are in scientific notation.
    """
    rounding_error = 1e-9 * max(map(abs, numbers))
    mean, *bounds = (value if abs(value) > rounding_error else 0.0 for value in numbers)
    size = abs(mean) or max(map(abs, bounds), default=0.0)
    if 0 < size < SMALLEST_FIXED and all(abs(value) < 100 * size for value in bounds):
        return [f"{value:.{SIGNIFICANT - 1}e}" if value else "0" for value in (mean, *bounds)]
    decimals = 1 if is_percent or size >= 100 else 2 if size >= 10 else 3
    if size:
        significant = (SIGNIFICANT - is_percent) - 1 - math.floor(math.log10(size))
        width = (bounds[1] - bounds[0]) / 2 if bounds else 0.0
        useful = 1 - math.floor(math.log10(width)) if width > 0 else significant
        decimals = max(decimals, min(significant, useful))
    return [f"{value:.{decimals}f}" for value in (mean, *bounds)]


def format_interval(interval: Interval | None, score: Score = UNKNOWN, *, signed: bool = False) -> str:
    """Format as `97.5 [95.0, 99.0]`, fractions in per cent; a dash if there is no value.

    Mean and bounds have equally many decimals, so that the interval contains its mean. A value
    without an interval stands alone; SKEWED marks intervals of skewed and small samples.

    Args:
        signed: write a plus before positive means, as of differences.
    """
    if interval is None:
        return "–"
    factor = 100 if score.unit == FRACTION else 1
    numbers = [factor * value for value in (interval.mean, *(interval.bounds or ()))]
    mean, *bounds = format_numbers(numbers, is_percent=score.unit == FRACTION)
    shown = f" [{', '.join(bounds)}]" + SKEWED * interval.skewed if bounds else ""
    return f"{'+' * (signed and numbers[0] > 0)}{mean}{shown}"


def format_count(interval: Interval) -> str:
    """Return `n=12`, or `n=12 vs 20` with the number of the reference's samples."""
    reference = "" if interval.num_reference is None else f" vs {interval.num_reference}"
    return f"n={interval.num}{reference}"


def format_cell(interval: Interval | None, score: Score = UNKNOWN) -> str:
    """Return a value with its interval and the number of samples that it is about."""
    text = format_interval(interval, score)
    return text if interval is None else f"{text}, {format_count(interval)}"


def format_samples(row: Row) -> str:
    """Return scored and all samples, and the same of the reference set."""
    text = f"{row.num_scored} / {row.num_samples}"
    if row.reference_samples is None:
        return text
    return f"{text} vs {row.reference_scored} / {row.reference_samples}"


def best_values(rows: list[Row], scores: Scores) -> set[tuple[str, str, str]]:
    """Return (system, slice, value name) of the best mean of each value where systems can be compared."""
    best = set()
    for part in dict.fromkeys(row.slice for row in rows):
        for name in score_names(rows):
            better = score_of(scores, name).better
            means = {
                row.system: better * row.intervals[name].mean
                for row in rows
                if row.slice == part and name in row.intervals
            }
            if better and len(means) > 1:
                best |= {
                    (system, part, name) for system, mean in means.items() if mean == max(means.values())
                }
    return best


def markdown_tables(rows: list[Row], scores: dict[str, Scores]) -> str:
    """Return a table for each metric, by axis: intervals in brackets, best means in bold, notes below."""
    parts = []
    for axis, metrics in by_axis(rows):
        parts.append(f"## {axis.capitalize()}\n")
        parts += [_markdown_table(metric, part, scores.get(metric, {})) for metric, part in metrics]
    skewed = any(interval.skewed for row in rows for interval in row.intervals.values())
    return "\n".join([*parts, *([f"{LEGEND}\n"] if skewed else [])])


def _markdown_table(metric: str, rows: list[Row], scores: Scores) -> str:
    names, best = score_names(rows), best_values(rows, scores)
    heads = ["system", "slice", "n scored / samples", *(heading(n, score_of(scores, n)) for n in names)]
    table = []
    for row in rows:
        cells = [as_markdown(row.system or "–"), as_markdown(row.slice), format_samples(row)]
        for name in names:
            text = format_cell(row.intervals.get(name), score_of(scores, name))
            cells.append(bold_number(text) if (row.system, row.slice, name) in best else text)
        table.append(cells)
    notes = [f"- {as_markdown(note)}\n" for note in dict.fromkeys(note for row in rows for note in row.notes)]
    text = f"### {metric_title(metric, names)}\n\n{markdown_table(heads, table)}"
    return text + "\n" * bool(notes) + "".join(notes)


def bold_number(text: str) -> str:
    """Return a cell with its number, which comes first, in bold Markdown."""
    number = re.match(r"[^\s,]+", text)
    return text if number is None else f"**{number[0]}**{text[number.end() :]}"


def by_metric(rows: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the rows of each metric, those of one axis together."""
    for _, metrics in by_axis(rows):
        yield from metrics


def by_axis(rows: list[Row]) -> Iterator[tuple[str, list[tuple[str, list[Row]]]]]:
    """Yield the name of each axis, and the rows of its metrics in order of first appearance."""
    metrics = dict.fromkeys(row.metric for row in rows)
    for axis in AXES:
        names = [metric for metric in metrics if axis_of(metric).name == axis]
        if names:
            yield axis, [(name, [row for row in rows if row.metric == name]) for name in names]


def metric_title(metric: str, names: list[str]) -> str:
    """Return the name of a metric and the sub-axes of its values."""
    axes = [axis_of(metric, name) for name in names] or [axis_of(metric)]
    return f"{metric}: {', '.join(dict.fromkeys(each.sub_axis for each in axes))}"
