"""Reports of a funnel: table, plot, and a page with kept and rejected clips of each step."""

import base64
import os
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.figure

from data.curation.config import CurationConfig
from data.curation.funnel import Funnel, StepCount
from data.curation.score_table import SCORES
from src.core.markdown import markdown_table
from src.core.rng import key

HEADS = ("step", "threshold", "in", "rejected", "kept", "kept of all", "without score")
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;background:#f3f2ee;color:#22262b;margin:2rem auto;max-width:80rem;
padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}
h3{font-size:.95rem;margin:.8rem 0 .3rem}
table{border-collapse:collapse;background:#fff}td,th{padding:.3rem .8rem;border-bottom:1px solid #dedcd5;
text-align:left}td+td+td,th+th+th{text-align:right}.clips{display:flex;flex-wrap:wrap;gap:.8rem}
figure{margin:0;background:#fff;padding:.5rem;max-width:26rem;border-top:3px solid #1d7a46}
figure.out{border-color:#b3372c}figure img{max-width:100%;display:block}figcaption{font-size:.8rem;
overflow-wrap:anywhere}small{color:#5b626b}summary{cursor:pointer}
"""


def table_rows(funnel: Funnel) -> list[list[str]]:
    """Return the cells of the funnel's table."""
    total = funnel.counts[0].num_in
    return [
        [
            count.name,
            count.detail,
            str(count.num_in),
            str(count.num_in - count.num_out),
            str(count.num_out),
            f"{100 * count.num_out / max(total, 1):.2f} %",
            str(count.num_missing or ""),
        ]
        for count in funnel.counts
    ]


def funnel_table(funnel: Funnel, table: Any = None) -> Any:
    """Return the funnel's table as Markdown, or as a `rich` table if its class is given."""
    if table is None:
        return markdown_table(HEADS, table_rows(funnel))
    drawn = table()
    for number, name in enumerate(HEADS):
        justify = "left" if number < 2 else "right"
        drawn.add_column(name, overflow="fold", no_wrap=number == 0, justify=justify)
    for row in table_rows(funnel):
        drawn.add_row(*row)
    return drawn


def plot_funnel(path: Path, funnel: Funnel) -> None:
    """Draw the clips kept and rejected by each step, logarithmically where they span more than a decade."""
    counts = funnel.counts
    figure = matplotlib.figure.Figure(figsize=(8, 0.34 * len(counts) + 1.2), layout="constrained")
    axes = figure.subplots()
    names, kept = [count.name for count in counts], [count.num_out for count in counts]
    total = max(counts[0].num_in, 1)
    axes.barh(names, [count.num_in for count in counts], color="#e3a59d", height=0.75, label="rejected here")
    axes.barh(names, kept, color="#1d7a46", height=0.75, label="kept")
    if min(kept) > 0 and total > 10 * min(kept):
        axes.set_xscale("log")
        axes.set_xlim(left=min(kept) / 3)
    for row, count in enumerate(counts):
        lost = f", {count.num_out - count.num_in}" if count.num_out < count.num_in else ""
        text = f" {count.num_out} ({100 * count.num_out / total:.1f} %){lost}"
        axes.text(count.num_in, row, text, va="center", fontsize=8)
    axes.set_ylim(len(counts) - 0.5, -0.5)
    axes.set_xlabel(f"clips of {counts[0].num_in}")
    axes.margins(x=0.22)
    figure.legend(loc="outside upper right", ncols=2, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def write_report(path: Path, funnel: Funnel, config: CurationConfig, root: Path) -> None:
    """Write the page: the funnel, then for each step clips that it rejected and clips that passed."""
    plot = base64.b64encode((path.parent / "funnel.png").read_bytes()).decode()
    parts = [page_start("Curation"), f"<p>{len(funnel.kept)} of {len(funnel.rows)} clips kept.</p>"]
    parts.append(_table_html(funnel))
    parts.append(f'<p><img src="data:image/png;base64,{plot}" alt="clips left after each step"></p>')
    passed = list(funnel.rows)
    for count in funnel.counts:
        rejected = [row for row in passed if row["step"] == count.name]
        passed = [row for row in passed if row["step"] != count.name]
        parts += _step_html(count, rejected, passed, config, root, path.parent)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def page_start(title: str, style: str = STYLE) -> str:
    """Return the beginning of a page, up to its first heading."""
    viewport = '<meta name=viewport content="width=device-width, initial-scale=1">'
    head = f"<!doctype html><html lang=en><meta charset=utf-8>{viewport}<title>{escape(title)}</title>"
    return f"{head}<style>{style}</style><h1>{escape(title)}</h1>"


def _table_html(funnel: Funnel) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in HEADS)
    rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table_rows(funnel))
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _step_html(
    count: StepCount, rejected: list[Any], passed: list[Any], config: CurationConfig, root: Path, folder: Path
) -> list[str]:
    scores = list(config.steps[count.name].ranges) if count.name in config.steps else []
    meaning = "; ".join(f"{name}: {SCORES[name]}" for name in scores)
    state = " open" if rejected else ""  # what rejected nothing is folded away
    parts = [
        f"<h2>{escape(count.name)}</h2>",
        *([f"<p>{escape(count.detail)}<br><small>{escape(meaning)}</small></p>"] if count.detail else []),
        f"<details{state}><summary>{len(rejected)} rejected, {len(passed)} passed</summary>",
    ]
    for title, rows, kind in (("rejected", rejected, " class=out"), ("passed", passed, "")):
        chosen = sorted(rows, key=lambda row: key(config.seed, "curation/examples:" + row["id"]))
        parts.append(f"<h3>{title}: {len(rows)}</h3><div class=clips>")
        parts += [figure_html(row, scores, kind, root, folder) for row in chosen[: config.examples]]
        parts.append("</div>")
    return [*parts, "</details>"]


def figure_html(row: dict[str, Any], scores: list[str], kind: str, root: Path, folder: Path) -> str:
    """Return a clip's preview, linked to the video, with the scores of a step."""
    values = ", ".join(f"{name} {row[name]:.3g}" for name in scores if isinstance(row.get(name), int | float))
    text = f"<b>{escape(row['id'])}</b><br>{escape(row['reason'] if kind else values)}"
    image = "<small>not decoded</small>"
    if row.get("preview"):
        data = base64.b64encode(row["preview"]).decode()
        image = f'<img src="data:image/jpeg;base64,{data}" alt="">'
    link = f'<a href="{escape(media_link(row, root, folder))}">{image}</a>'
    return f"<figure{kind}>{link}<figcaption>{text}</figcaption></figure>"


def media_link(row: dict[str, Any], root: Path, folder: Path) -> str:
    """Return a relative address of the clip's stretch of its video."""
    from urllib.parse import quote

    path = quote(os.path.relpath(root / row["path"], folder.resolve()))
    end = f",{row['end_s']:.3f}" if row.get("end_s") is not None else ""
    return f"{path}#t={row['start_s']:.3f}{end}"
