"""The table for the terminal: every name and number whole, in narrow consoles too."""

from io import StringIO

import pytest
from rich.console import Console

from eval.core.intervals import Interval
from eval.core.results import Row, Score
from eval.reports.tables import terminal_table

NAMES = [f"a_long_name_{number}" for number in range(8)]
INTERVALS = dict.fromkeys(NAMES, Interval(1, 0, 2, 3, 3, ""))
ROWS = [
    Row(slice=part, system=system, metric="m", asked=4, used=3, intervals=INTERVALS)
    for system in ("one", "two")
    for part in ("all", "moving")
]


@pytest.mark.parametrize("width", [80, 400])
def test_nothing_is_cut(width):
    console = Console(file=StringIO(), width=width)
    console.print(terminal_table(ROWS, {name: Score(1) for name in NAMES}, "m", console))
    text = console.file.getvalue()
    lines = len(NAMES) * len(ROWS) if width < 400 else len(ROWS)
    assert sum("1.000 [0.000, 2.000]" in line for line in text.splitlines()) == lines
    assert all(f"{name} ↑" in text for name in NAMES)
    assert text.count("moving") == text.count("one") == 2
    assert "…" not in text
