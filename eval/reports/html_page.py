"""One self-contained HTML page: tables, intervals as plots, and the videos with their verdicts."""

import base64
import json
import mimetypes
import shlex
from html import escape
from pathlib import Path
from typing import Any

from eval.core.manifest import Sample, resolve_media
from eval.core.results import Row
from eval.reports.interval_plots import plots_html
from eval.reports.plain_text import as_html
from eval.reports.samples import SampleResults
from eval.reports.tables import (
    LEGEND,
    Scores,
    by_axis,
    by_metric,
    format_cell,
    format_samples,
    heading,
    metric_title,
    score_names,
    score_of,
)

MAX_BYTES = 8_000_000  # of a media file that is embedded
MAX_VALUES = 4  # numbers below a video

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;background:#f3f2ee;color:#22262b;margin:2rem auto;max-width:76rem;
padding:0 1rem}h1{font-size:1.6rem;margin-bottom:.3rem}h2{font-size:1.2rem;margin-top:2rem}
h3{font-size:1rem;margin:1.2rem 0 .4rem}
table{border-collapse:collapse;background:#fff}
td,th{padding:.35rem .6rem;border-bottom:1px solid #dedcd5;text-align:right;white-space:nowrap}
td{vertical-align:top}
td:first-child,th:first-child{text-align:left}th{white-space:normal;vertical-align:bottom}
td b{font-weight:500}td small{display:block;color:#5c6068;line-height:1.25}
.scroll{overflow-x:auto}
.head{color:#666;font-size:.85rem;overflow-wrap:anywhere}.head code{color:#22262b}
pre{background:#fff;padding:.8rem;overflow-x:auto;font-size:.8rem}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:.5rem 2rem;
margin-top:1rem}svg{display:block;width:100%;max-width:100%;height:auto}
svg text{font-size:11px;fill:#22262b}svg .tick{fill:#7b828a}
.media{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem}
figure{margin:0;background:#fff;padding:.6rem;border-radius:.5rem}
figure.failed{box-shadow:inset 0 0 0 2px #b3372c}
figure video,figure img{width:100%;image-rendering:pixelated;display:block}figure audio{width:100%}
figcaption{font-size:.8rem;margin-top:.4rem;overflow-wrap:anywhere}
.badge{display:inline-block;border-radius:.7rem;padding:0 .5rem;margin:.1rem .2rem .1rem 0;font-weight:600;
color:#1d7a46;background:#e3f3e9}.badge.wrong{color:#b3372c;background:#fbe7e4}
.bad{color:#b3372c}small{color:#666}
@media (max-width:30rem){body{margin:1rem auto}.media{grid-template-columns:1fr 1fr;gap:.6rem}}
"""


def write_page(
    path: Path,
    rows: list[Row],
    scores: dict[str, Scores],
    summary: dict[str, Any],
    media: list[tuple[Sample, SampleResults]],
    *,
    root: Path,
    selection: str = "",
) -> None:
    """Write the page; it loads nothing from elsewhere.

    The head line comes from provenance.json and config.yaml in the folder of `path`, if these exist.

    Args:
        media: samples to display, in this order.
        root: the manifest's folder.
        selection: which samples these are.
    """
    parts = [page_start("Evaluation"), _head_line(path.parent)]
    reasons = summary["dropped"]
    parts.append(f"<p>{summary['num_samples']} samples, {len(reasons)} measurements dropped.</p>")
    parts += [tables_html(rows, scores), f"<p><small>{LEGEND}</small></p>"]
    if media:
        legend = "below each: expected → recognized content where they differ"
        parts.append(f"<h2>Samples</h2><p><small>{as_html(selection)}; {legend}</small></p><div class=media>")
        parts += [figure_html(sample, results, root) for sample, results in media]
        parts.append("</div>")
    for metric, metric_rows in by_metric(rows):
        if plots := plots_html(metric_rows, scores.get(metric, {})):
            parts.append(f"<h2>{as_html(metric)}: means and 95 % intervals</h2>{plots}")
    if reasons:
        parts.append("<h2>Dropped</h2><ul>")
        parts += [
            f"<li class=bad>{as_html(each['id'])} ({as_html(each['metric'])}): {as_html(each['reason'])}</li>"
            for each in reasons
        ]
        parts.append("</ul>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def page_start(title: str) -> str:
    """Return the beginning of a page, up to its first heading."""
    viewport = '<meta name=viewport content="width=device-width, initial-scale=1">'
    head = f"<!doctype html><html lang=en><meta charset=utf-8>{viewport}"
    return f"{head}<title>{as_html(title)}</title><style>{_STYLE}</style><h1>{as_html(title)}</h1>"


def _head_line(folder: Path) -> str:
    """Date, command, commit and settings of the run."""
    parts = []
    provenance, settings = folder / "provenance.json", folder / "config.yaml"
    if provenance.is_file():
        run = json.loads(provenance.read_text(encoding="utf-8"))[-1]
        changed = ", with local changes" if run["git_changed_files"] else ""
        commit = f"commit <code>{run['git_commit'][:10]}</code>{changed}" if run["git_commit"] else ""
        date = run["time_utc"][:16].replace("T", " ") + " UTC"
        command = as_html(shlex.join(["python", "-m", "eval.run", *run["argv"][1:]]))
        parts.append(
            f"<p class=head>{' · '.join(filter(None, (date, commit)))}<br><code>{command}</code></p>"
        )
    if settings.is_file():
        text = escape(settings.read_text(encoding="utf-8").strip())
        parts.append(f"<details class=head><summary>Settings</summary><pre>{text}</pre></details>")
    return "\n".join(parts)


def tables_html(rows: list[Row], scores: dict[str, Scores]) -> str:
    """Return the tables of all metrics with their notes, by axis."""
    parts = []
    for axis, metrics in by_axis(rows):
        parts.append(f"<h2>{axis.capitalize()}</h2>")
        for metric, metric_rows in metrics:
            title = metric_title(metric, score_names(metric_rows))
            parts += [f"<h3>{as_html(title)}</h3>", table_html(metric_rows, scores.get(metric, {}))]
            notes = dict.fromkeys(note for row in metric_rows for note in row.notes)
            parts += [f"<p><small>{as_html(note)}</small></p>" for note in notes]
    return "\n".join(parts)


def table_html(rows: list[Row], scores: Scores) -> str:
    """Return the table of one metric."""
    names = score_names(rows)
    systems = ["system"] if any(row.system for row in rows) else []
    heads = [*systems, "slice", "n", *(heading(name, score_of(scores, name)) for name in names)]
    titles = [*systems, "", "scored / samples", *(score_of(scores, name).text for name in names)]
    head = "".join(f'<th title="{as_html(t)}">{as_html(h)}</th>' for h, t in zip(heads, titles, strict=True))
    body = []
    for row in rows:
        cells = [
            *([row.system or "–"] if systems else []),
            row.slice,
            format_samples(row),
        ]
        shown = [as_html(each) for each in cells]
        shown += [_cell(format_cell(row.intervals.get(name), score_of(scores, name))) for name in names]
        body.append("<tr>" + "".join(f"<td>{each}</td>" for each in shown) + "</tr>")
    return f"<div class=scroll><table><tr>{head}</tr>{''.join(body)}</table></div>"


def _cell(text: str) -> str:
    """Return a value with its interval and number of samples below, so that wide tables fit the page."""
    mean, bracket, rest = text.partition(" [")
    if not bracket:
        mean, _, rest = text.partition(", ")
    below = f"<small>{as_html(bracket.strip() + rest)}</small>" if rest else ""
    return f"<b>{as_html(mean)}</b>{below}"


def figure_html(sample: Sample, results: SampleResults, root: Path) -> str:
    """Return a video, image or audio file as data, with its verdicts, or the reason why it is absent."""
    failed = " class=failed" if results.failed else ""
    caption = f"<figcaption>{_marks(results)}<b>{as_html(sample.id)}</b> {as_html(sample.prompt)}"
    caption += f"{_numbers(results)}{_mistakes(results)}"
    key = next((key for key in ("video", "image", "audio") if getattr(sample, key)), None)
    try:
        if key is None:
            raise ValueError("sample has no media")
        path = resolve_media(root, getattr(sample, key), key)
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"{path.name} is not embedded: larger than {MAX_BYTES // 1_000_000} MB")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except (ValueError, OSError) as error:
        reason = f"<br><span class=bad>{as_html(str(error))}</span>" if not results.dropped else ""
        return f"<figure{failed}>{caption}{reason}</figcaption></figure>"
    if kind.startswith("image"):
        media = f'<img src="{data}" alt="">'
    elif kind.startswith("audio"):
        media = f'<audio controls src="{data}"></audio>'
    else:  # controls cover small videos, so they appear on hover or tap only
        media = (
            f'<video autoplay loop muted playsinline onmouseenter="this.controls=true" '
            f'onmouseleave="this.controls=false" src="{data}"></video>'
        )
    return f"<figure{failed}>{media}{caption}</figcaption></figure>"


def _marks(results: SampleResults) -> str:
    badges = (
        f"<span class='badge{'' if correct else ' wrong'}'>{'✓' if correct else '✗'} {as_html(name)}</span>"
        for name, correct in results.verdicts.items()
    )
    return "".join(badges) + "<br>" * bool(results.verdicts)


def _numbers(results: SampleResults) -> str:
    values = list(results.values.items())
    text = ", ".join(f"{name} {value:.4g}" for name, value in values[:MAX_VALUES])
    text += ", …" * (len(values) > MAX_VALUES)
    return f"<br><small>{as_html(text)}</small>" if text else ""


def _mistakes(results: SampleResults) -> str:
    wrong = [f"{each['expected']} → {each['found']}" for each in results.checks if not each["correct"]]
    wrong += [] if results.checks or not results.why else [results.why]
    return "".join(f"<br><span class=bad>{as_html(text)}</span>" for text in (*wrong, *results.dropped))
