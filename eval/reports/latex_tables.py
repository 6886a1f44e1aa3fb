"""Tables of results for LaTeX."""

import re

from eval.core.results import Row
from eval.reports.plain_text import as_latex
from eval.reports.tables import (
    LEGEND,
    SKEWED,
    Scores,
    by_axis,
    format_cell,
    format_samples,
    heading,
    metric_title,
    score_names,
    score_of,
)

_MINUS = re.compile(r"(?<![^\s\[])-(?=\d)")  # a sign, not the hyphen of a name or of 1e-05


def latex_tables(rows: list[Row], scores: dict[str, Scores]) -> str:
    """Return a booktabs table for each metric, by axis; needs \\usepackage{booktabs}."""
    parts = []
    for axis, metrics in by_axis(rows):
        parts.append(f"\\paragraph{{{axis.capitalize()}}}\n")
        for metric, metric_rows in metrics:
            names, known = score_names(metric_rows), scores.get(metric, {})
            heads = ["system", "slice", "$n$", *(heading(n, score_of(known, n)) for n in names)]
            lines = [
                f"% {metric_title(metric, names)}; {LEGEND}",
                f"\\begin{{tabular}}{{ll{'r' * (len(names) + 1)}}}",
            ]
            lines += ["\\toprule", _latex_line(heads), "\\midrule"]
            for row in metric_rows:
                cells = [row.system or "–", row.slice, format_samples(row)]
                cells += [format_cell(row.intervals.get(name), score_of(known, name)) for name in names]
                lines.append(_latex_line(cells))
            parts.append("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n")
    return "\n".join(parts)


def _latex_line(cells: list[str]) -> str:
    shown = (cell if cell == "$n$" else as_latex(cell).replace(SKEWED, "$^\\dagger$") for cell in cells)
    return " & ".join(_MINUS.sub("$-$", cell) for cell in shown) + " \\\\"
