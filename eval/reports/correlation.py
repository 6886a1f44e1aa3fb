"""Tables and page of `eval.correlate`."""

from collections import defaultdict
from dataclasses import dataclass

from eval.catalog import axis_of
from eval.core.axes import AXES
from eval.core.intervals import Interval
from eval.core.results import Score
from eval.reports.html_page import page_start
from eval.reports.interval_plots import draw_plot
from eval.reports.plain_text import as_html

MEASURES = ("spearman", "prefers")


@dataclass(frozen=True)
class Correlation:
    """One statistic of one value of a metric."""

    metric: str
    score: str
    measure: str
    interval: Interval


def format_number(x: Interval) -> str:
    """Return a correlation with its interval."""
    return f"{x.mean:.2f}" + ("" if x.low is None or x.high is None else f" [{x.low:.2f}, {x.high:.2f}]")


def tables_by_axis(found: list[Correlation], votes: dict[tuple[str, str], str]) -> dict[str, list[list[str]]]:
    """Return rows of texts by axis, the highest correlation first."""
    by_value: dict[tuple[str, str], dict[str, Interval]] = defaultdict(dict)
    for each in found:
        by_value[each.metric, each.score][each.measure] = each.interval
    order = sorted(by_value.items(), key=lambda each: -each[1].get("spearman", each[1]["prefers"]).mean)
    tables: dict[str, list[list[str]]] = {axis: [] for axis in AXES}
    for (metric, score), measured in order:
        axis = axis_of(metric, score)
        cells = [format_number(measured[m]) if m in measured else "–" for m in MEASURES]
        num = str(next(iter(measured.values())).num)
        shown = [votes.get((metric, score), "–")] if votes else []
        tables[axis.name].append([score, metric, axis.sub_axis, *cells, num, *shown])
    return {axis: rows for axis, rows in tables.items() if rows}


def correlation_page(
    intro: str, heads: list[str], tables: dict[str, list[list[str]]], found: list[Correlation]
) -> str:
    """Return the HTML page: of each axis two plots and the table."""
    page = [page_start("What metrics know of the truth"), f"<p>{as_html(intro)}</p>"]
    for axis, rows in tables.items():
        own = [each for each in found if axis_of(each.metric, each.score).name == axis]
        page.append(f"<h2>{axis.capitalize()}</h2><div class=plots>")
        for measure, title in (
            ("spearman", "Spearman's correlation"),
            ("prefers", "prefers the right video"),
        ):
            entries = sorted(
                ((e.score, e.interval) for e in own if e.measure == measure), key=lambda e: -e[1].mean
            )
            page.append(draw_plot(title, Score(1), entries))
        head = "".join(f"<th>{as_html(each)}</th>" for each in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{as_html(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        page.append(f"</div><div class=scroll><table><tr>{head}</tr>{body}</table></div>")
    return "\n".join(page) + "\n"
