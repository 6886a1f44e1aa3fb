"""Plots of means and intervals as SVG, a line for each system or slice."""

import math

from eval.core.intervals import Interval
from eval.core.results import ALL, FRACTION, Row, Score
from eval.reports.plain_text import as_html
from eval.reports.tables import Scores, format_interval, heading, score_names, score_of

MAX_PLOT_ROWS = 40
PLOT_WIDTH, ROW_HEIGHT, CHAR_WIDTH, MAX_LABEL = 300, 22, 6.5, 30


def plots_html(rows: list[Row], scores: Scores) -> str:
    """Return a plot for every value: means and intervals of its systems or slices, one per line."""
    parts = []
    for name in score_names(rows):
        entries = [
            (_label(row), interval) for row in rows if (interval := row.intervals.get(name)) is not None
        ]
        if len(entries) > 1:
            parts.append(draw_plot(name, score_of(scores, name), entries[:MAX_PLOT_ROWS]))
    return f"<div class=plots>{''.join(parts)}</div>" if parts else ""


def _label(row: Row) -> str:
    part = row.slice if row.slice != ALL else ""
    return " · ".join(filter(None, (row.system, part))) or ALL


def draw_plot(name: str, score: Score, entries: list[tuple[str, Interval]]) -> str:
    factor = 100 if score.unit == FRACTION else 1
    bounds = [factor * value for _, x in entries for value in (x.mean, *(x.bounds or ()))]
    ticks = axis_ticks(0, 100) if score.unit == FRACTION else axis_ticks(min(bounds), max(bounds))
    bottom = 26 + ROW_HEIGHT * len(entries)
    left = 12 + CHAR_WIDTH * max(min(len(label), MAX_LABEL) for label, _ in entries)

    def x_of(value: float) -> float:
        low, high = ticks[0], ticks[-1]
        return left + PLOT_WIDTH * (min(max(value, low), high) - low) / (high - low)

    width = round(left + PLOT_WIDTH + 20)
    lines = [
        f'<svg viewBox="0 0 {width} {bottom + 22}" role="img">'
        f'<text x="0" y="12" font-weight="bold">{as_html(heading(name, score))}</text>'
    ]
    for tick in ticks:
        x = x_of(tick)
        lines.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="20" y2="{bottom}" stroke="#dedcd5"/>')
        lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{tick:g}</text>')
    for index, (label, interval) in enumerate(entries):
        y = 32 + ROW_HEIGHT * index
        low, high = (x_of(factor * v) for v in interval.bounds or (interval.mean, interval.mean))
        mean = x_of(factor * interval.mean)
        title = as_html(f"{label}: {format_interval(interval, score)}")
        lines.append(f'<g><title>{title}</title><text x="0" y="{y + 4}">{as_html(label[:MAX_LABEL])}</text>')
        lines.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="#7b828a"/>')
        lines.append(f'<circle cx="{mean:.1f}" cy="{y}" r="4" fill="#1d7a46"/></g>')
    return "".join([*lines, "</svg>"])


def axis_ticks(low: float, high: float) -> list[float]:
    """Return 3 to 7 round numbers from <= low to >= high, spaced by 1, 2 or 5 times a power of ten."""
    if high <= low:
        margin = abs(low) / 2 or 1.0
        low, high = low - margin, high + margin
    magnitude = 10 ** math.floor(math.log10(high - low))
    for step in (magnitude / 5, magnitude / 2, magnitude, 2 * magnitude):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= 6:
            break
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]
