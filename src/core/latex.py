"""LaTeX tables in the style of booktabs."""

from collections.abc import Iterable, Sequence

_SIGNS = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--"}
_SIGNS |= {sign: "\\" + sign for sign in "&%$#_{}"}
_SIGNS |= {"↑": "$\\uparrow$", "↓": "$\\downarrow$", "±": "$\\pm$", "κ": "$\\kappa$", "α": "$\\alpha$"}
_SIGNS |= {"σ": "$\\sigma$", "−": "$-$", "<": "$<$", ">": "$>$"}


def escape_latex(text: str) -> str:
    """Return text with LaTeX's special signs escaped."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def latex_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, columns: str = "") -> str:
    """Return a tabular environment; needs \\usepackage{booktabs}. `columns` defaults to left, then right."""
    lines = [f"\\begin{{tabular}}{{{columns or 'l' + 'r' * (len(heads) - 1)}}}", "\\toprule", _line(heads)]
    lines += ["\\midrule", *map(_line, rows), "\\bottomrule", "\\end{tabular}"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, cells)) + " \\\\"
