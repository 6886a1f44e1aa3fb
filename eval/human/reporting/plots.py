"""Plots of a report, as SVG for the page and PDF for a paper."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from eval.human.reporting.results import Results

COLORS = ("#3366cc", "#bbbbbb", "#cc6633")


def write_plots(results: Results, folder: Path) -> list[str]:
    """Write the plots that have data into `folder`; return their names without suffix."""
    drawn = {
        "net_wins": _net_wins(results),
        "outcomes": _outcomes(results),
        "strengths": _strengths(results),
        "raters": _raters(results),
    }
    names = []
    for name, figure in drawn.items():
        if figure is not None:
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
            plt.close(figure)
            names.append(name)
    return names


def _figure(num_rows: int, width: float = 7.0) -> tuple[Figure, plt.Axes]:
    return plt.subplots(figsize=(width, 1.2 + 0.32 * num_rows), layout="constrained")


def _net_wins(results: Results) -> Figure | None:
    rows = [row for row in results.net_wins if row.slice == "all"]
    if not rows:
        return None
    figure, axes = _figure(len(rows))
    for at, row in enumerate(reversed(rows)):
        mean = row.interval.mean
        if row.interval.bounds:
            axes.plot(row.interval.bounds, (at, at), color=COLORS[0], linewidth=2)
        axes.plot(mean, at, "o", color=COLORS[0])
        if row.rater_sigma == row.rater_sigma:
            axes.plot(
                (mean - 2 * row.rater_sigma, mean + 2 * row.rater_sigma), (at - 0.22,) * 2, color=COLORS[1]
            )
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{row.axis}: {row.a} – {row.b}" for row in reversed(rows)])
    axes.set_xlabel("net win rate of the first system\n(95 % interval over prompts; gray: ± 2 σ of raters)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _outcomes(results: Results) -> Figure | None:
    rows = [row for row in results.net_wins if row.slice == "all"]
    if not rows:
        return None
    figure, axes = _figure(len(rows))
    for at, row in enumerate(reversed(rows)):
        left = 0.0
        for fraction, color in zip((row.win, row.tie, row.loss), COLORS, strict=True):
            axes.barh(at, 100 * fraction, left=100 * left, color=color)
            left += fraction
    axes.set_yticks(range(len(rows)), [f"{row.axis}: {row.a} – {row.b}" for row in reversed(rows)])
    axes.set_xlabel("% of prompts\n(blue: first system wins, gray: tie, orange: second wins)")
    axes.set_xlim(0, 100)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _strengths(results: Results) -> Figure | None:
    if not results.ratings:
        return None
    rows = [
        (each.axis, name, float(value), float(width))
        for each in results.ratings
        for name, value, width in zip(
            each.strengths.systems, each.strengths.values, each.strengths.half_widths(), strict=True
        )
    ]
    figure, axes = _figure(len(rows))
    for at, (_, _, value, width) in enumerate(reversed(rows)):
        axes.errorbar(value, at, xerr=width, fmt="o", color=COLORS[0], capsize=2)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{axis}: {name}" for axis, name, _, _ in reversed(rows)])
    axes.set_xlabel("strength\n(Bradley-Terry with ties, logit scale, 95 % interval over prompts)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _raters(results: Results) -> Figure | None:
    rows = [row for row in results.raters if row.accuracy is not None or row.reasons]
    if not any(row.median_time_s for row in rows):
        return None
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for row in rows:
        color = COLORS[2] if row.reasons else COLORS[0]
        axes.plot(row.median_time_s or 0, row.accuracy or 0, "o", color=color, alpha=0.7)
    axes.set_xlabel("median time for an answer, s (orange: excluded)")
    axes.set_ylabel("accuracy (Dawid and Skene)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
