"""One HTML page with everything inside: tables, intervals as plots, and the films themselves."""

import base64
import mimetypes
from html import escape
from pathlib import Path
from typing import Any

from eval.core.intervals import Interval
from eval.core.manifest import Sample, resolve_media
from eval.core.results import EVERYTHING, SHARE, Row, Score
from eval.reports.tables import Scores, by_metric, cell, columns, heading, score_of

LARGEST = 8_000_000  # bytes of a film that still goes into the page

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;background:#f3f2ee;color:#22262b;margin:2rem auto;max-width:76rem;
padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;
background:#fff}td,th{padding:.35rem .8rem;border-bottom:1px solid #dedcd5;text-align:right;
white-space:nowrap}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}.scroll{overflow-x:auto}
.films{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}figure{margin:0;
background:#fff;padding:.6rem;border-radius:.5rem}figure video,figure img{width:100%;
image-rendering:pixelated}
figcaption{font-size:.8rem}.bad{color:#b3372c}small{color:#666}svg text{font-size:11px;fill:#22262b}
"""


def write_page(
    path: Path,
    rows: list[Row],
    scores: dict[str, Scores],
    summary: dict[str, Any],
    films: list[tuple[Sample, Path]],
) -> None:
    """Write the page; it loads nothing from anywhere.

    Args:
        films: samples to show, each with its manifest's folder.
    """
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>Evaluation</title>"]
    parts.append(f"<style>{_STYLE}</style><h1>Evaluation</h1>")
    reasons = summary["dropped"]
    parts.append(f"<p>{summary['asked']} samples asked, {len(reasons)} measurements dropped.</p>")
    for metric, own in by_metric(rows):
        parts += [f"<h2>{escape(metric)}</h2>", _table(own, scores.get(metric, {}))]
        parts += [
            f"<p><small>{escape(n)}</small></p>" for n in dict.fromkeys(n for r in own for n in r.notes)
        ]
        parts.append(_plots(own, scores.get(metric, {})))
    if films:
        parts.append("<h2>Films</h2><div class=films>")
        parts += [_figure(sample, root) for sample, root in films]
        parts.append("</div>")
    if reasons:
        parts.append("<h2>Dropped</h2><ul>")
        parts += [
            f"<li class=bad>{escape(each['id'])} ({escape(each['metric'])}): {escape(each['reason'])}</li>"
            for each in reasons
        ]
        parts.append("</ul>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _table(rows: list[Row], scores: Scores) -> str:
    names = columns(rows)
    heads = ["system", "slice", "n", *(heading(name, score_of(scores, name)) for name in names)]
    titles = ["", "", "used / asked", *(score_of(scores, name).text for name in names)]
    head = "".join(f'<th title="{escape(t)}">{escape(h)}</th>' for h, t in zip(heads, titles, strict=True))
    body = []
    for row in rows:
        cells = [row.system or "–", row.slice, f"{row.used} / {row.asked}"]
        cells += [cell(row.intervals.get(name), score_of(scores, name)) for name in names]
        body.append("<tr>" + "".join(f"<td>{escape(each)}</td>" for each in cells) + "</tr>")
    return f"<div class=scroll><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _plots(rows: list[Row], scores: Scores) -> str:
    """For every number its systems or slices below each other, mean and interval."""
    parts = []
    for name in columns(rows):
        entries = [
            (
                " · ".join(filter(None, (row.system, row.slice if row.slice != EVERYTHING else "")))
                or EVERYTHING,
                x,
            )
            for row in rows
            if (x := row.intervals.get(name)) is not None
        ]
        if len(entries) > 1:
            parts.append(_plot(name, score_of(scores, name), entries[:40]))
    return "".join(parts)


def _plot(name: str, score: Score, entries: list[tuple[str, Interval]]) -> str:
    factor = 100 if score.unit == SHARE else 1
    low = min(x.low for _, x in entries)
    high = max(x.high for _, x in entries)
    span = (high - low) or 1.0
    height = 22 * len(entries) + 30

    def at(value: float) -> float:
        return 220 + 440 * (value - low) / span

    lines = [
        f'<svg width="700" height="{height}" role="img"><text x="0" y="12">'
        f"<tspan font-weight='bold'>{escape(heading(name, score))}</tspan></text>"
    ]
    for index, (label, x) in enumerate(entries):
        y = 32 + 22 * index
        lines.append(f'<text x="0" y="{y + 4}">{escape(label[:34])}</text>')
        lines.append(f'<line x1="{at(x.low):.1f}" x2="{at(x.high):.1f}" y1="{y}" y2="{y}" stroke="#7b828a"/>')
        title = f"{factor * x.mean:.4g} [{factor * x.low:.4g}, {factor * x.high:.4g}]"
        lines.append(
            f'<circle cx="{at(x.mean):.1f}" cy="{y}" r="4" fill="#1d7a46"><title>{title}</title></circle>'
        )
    return "".join([*lines, "</svg><br>"])


def _figure(sample: Sample, root: Path) -> str:
    """A film, picture or sound as data, or the reason why it is not there."""
    label = f"<b>{escape(sample.id)}</b> {escape(sample.prompt)}"
    key = next((key for key in ("video", "image", "audio") if getattr(sample, key)), None)
    try:
        if key is None:
            raise ValueError("names no media")
        path = resolve_media(root, getattr(sample, key), key)
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.name} is larger than {LARGEST // 1_000_000} MB and not put in here")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except ValueError as error:
        reason = f"<span class=bad>{escape(str(error))}</span>"
        return f"<figure><figcaption>{label}<br>{reason}</figcaption></figure>"
    if kind.startswith("image"):
        media = f'<img src="{data}" alt="">'
    elif kind.startswith("audio"):
        media = f'<audio controls src="{data}"></audio>'
    else:
        media = f'<video controls loop muted playsinline src="{data}"></video>'
    return f"<figure>{media}<figcaption>{label}</figcaption></figure>"
