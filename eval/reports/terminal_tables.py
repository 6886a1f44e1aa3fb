"""Tables of results for the terminal."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from eval.core.results import ALL, Row
from eval.reports.plain_text import as_terminal
from eval.reports.tables import (
    BEST,
    LEGEND,
    Scores,
    best_values,
    format_cell,
    heading,
    score_names,
    score_of,
)


def terminal_table(rows: list[Row], scores: Scores, title: str, console: Console) -> Table:
    """Return the table of one metric: a column for each value if they fit into the console, else a line."""
    table = _terminal_table(rows, scores, title, vertical=False)
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    return table if needed <= console.width else _terminal_table(rows, scores, title, vertical=True)


def _terminal_table(rows: list[Row], scores: Scores, title: str, *, vertical: bool) -> Table:
    names, best = score_names(rows), best_values(rows, scores)
    has_systems = len({row.system for row in rows}) > 1
    skewed = any(interval.skewed for row in rows for interval in row.intervals.values())
    caption = (LEGEND if skewed else "95 % intervals in brackets") + f"; {BEST} best" * bool(best)
    table = Table(title=as_terminal(title), caption=caption, title_style="bold")
    for head in [*(["system"] if has_systems else []), "slice", "n"]:
        table.add_column(head, justify="right" if head == "n" else "left", no_wrap=True)
    heads = [heading(name, score_of(scores, name)) for name in names]
    for head in ("score", "") if vertical else heads:
        table.add_column(as_terminal(head), justify="left" if vertical else "right", no_wrap=True)
    for row in rows:
        complete = row.num_scored == row.num_samples
        count = as_terminal(
            f"{row.num_scored}" if complete else f"{row.num_scored}/{row.num_samples}",
            "" if complete else "red",
        )
        cells = []
        for name in names:
            text = format_cell(row.intervals.get(name), score_of(scores, name))
            marked = (row.system, row.slice, name) in best
            cells.append(as_terminal(text + f" {BEST}" * marked))
        systems = [as_terminal(row.system or "–")] if has_systems else []
        start = [*systems, as_terminal(row.slice), count]
        style = "bold" if row.slice == ALL else ""
        if not vertical:
            table.add_row(*start, *cells, style=style)
            continue
        for line, pair in enumerate(zip(map(as_terminal, heads), cells, strict=True)):
            last = line == len(heads) - 1
            table.add_row(*(start if not line else [""] * len(start)), *pair, style=style, end_section=last)
    return table
