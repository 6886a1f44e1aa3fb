"""A table of a report: Markdown, LaTeX, HTML and CSV from the same cells."""

import csv
import io
import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from eval.core.intervals import Interval
from eval.human.analysis.reliability import Reliability
from src.core.latex import latex_table
from src.core.markdown import markdown_table


@dataclass(frozen=True)
class Table:
    """A table: cells are texts, numbers, intervals or None; `paper` marks the one for a paper."""

    name: str
    title: str
    heads: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    notes: tuple[str, ...] = field(default=())

    def markdown(self) -> str:
        """Return the table with its title and notes."""
        notes = "".join(f"- {note}\n" for note in self.notes)
        body = markdown_table(self.heads, self._texts())
        return f"### {self.title}\n\n{body}" + f"\n{notes}" * bool(notes)

    def latex(self) -> str:
        """Return a booktabs table; the title is a comment."""
        return f"% {self.title}\n" + latex_table(self.heads, self._texts())

    def html(self) -> str:
        """Return an HTML table."""
        heads = "".join(f"<th>{escape(head)}</th>" for head in self.heads)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._texts()
        )
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{notes}"

    def csv(self) -> str:
        """Return the table with full precision; an interval takes three columns."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        wide = [any(_bounds(row[i]) for row in self.rows) for i in range(len(self.heads))]
        writer.writerow(
            [
                text
                for head, is_wide in zip(self.heads, wide, strict=True)
                for text in ([head, f"{head} low", f"{head} high"] if is_wide else [head])
            ]
        )
        for row in self.rows:
            cells: list[Any] = []
            for cell, is_wide in zip(row, wide, strict=True):
                cells += _wide(cell) if is_wide else [_raw(cell)]
            writer.writerow(cells)
        return out.getvalue()

    def _texts(self) -> list[list[str]]:
        digits = [
            min((each for each in map(_num_digits, column) if each), default=2)
            for column in zip(*self.rows, strict=True)
        ]
        return [[format_cell(cell, num) for cell, num in zip(row, digits, strict=True)] for row in self.rows]


def format_cell(cell: Any, digits: int = 2) -> str:
    """Return a cell as text: numbers with the given decimals, intervals in brackets."""
    if isinstance(cell, Interval | Reliability):
        value = cell.mean if isinstance(cell, Interval) else cell.value
        if not math.isfinite(value):
            return "–"
        if cell.low is None or cell.high is None:
            return f"{value:.{digits}f}"
        return f"{value:.{digits}f} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]"
    if cell is None or (isinstance(cell, float) and not math.isfinite(cell)):
        return "–"
    if isinstance(cell, float):
        return f"{cell:.{digits}f}"
    return str(cell)


def _num_digits(cell: Any) -> int:
    """Return the decimals of a number: fewer for large ones, by which the whole column goes; 0 for texts."""
    if isinstance(cell, Reliability):
        return 3
    value = cell.mean if isinstance(cell, Interval) else cell
    if not isinstance(value, float) or not math.isfinite(value):
        return 0
    return 1 if abs(value) >= 10 else 2


def format_p(p: float) -> str:
    """Return a p-value as text."""
    return "–" if not math.isfinite(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _bounds(cell: Any) -> bool:
    return isinstance(cell, Interval | Reliability)


def _wide(cell: Any) -> list[Any]:
    if not _bounds(cell):
        return [_raw(cell), "", ""]
    value = cell.mean if isinstance(cell, Interval) else cell.value
    return [_raw(value), _raw(cell.low), _raw(cell.high)]


def _raw(cell: Any) -> Any:
    if isinstance(cell, float):
        return f"{cell:.6g}" if math.isfinite(cell) else ""
    return "" if cell is None else cell
