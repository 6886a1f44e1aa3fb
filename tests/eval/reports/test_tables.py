"""Tables: nothing is truncated in narrow consoles; intervals contain their means; the best is marked."""

from io import StringIO

import pytest
from rich.console import Console

from eval.core.intervals import Interval
from eval.core.results import FRACTION, Row, Score
from eval.reports.tables import best_values, format_interval, markdown_tables, terminal_table

NAMES = [f"a_long_name_{number}" for number in range(8)]
INTERVALS = dict.fromkeys(NAMES, Interval(1, 0, 2, 3, 3, ""))
ROWS = [
    Row(slice=part, system=system, metric="m", num_samples=4, num_scored=3, intervals=INTERVALS)
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


@pytest.mark.parametrize(
    ("unit", "values", "text"),
    [
        (FRACTION, (0.997, 0.9957, 0.9985), "99.7 [99.6, 99.9]"),
        (FRACTION, (0.988, 0.987, 0.989), "98.8 [98.7, 98.9]"),
        ("", (12.345, 11.111, 13.999), "12.35 [11.11, 14.00]"),
        ("", (0.5, 1e-17, 1.0), "0.500 [0.000, 1.000]"),
        ("", (2e-5, 1e-5, 3e-5), "2.0e-05 [1.0e-05, 3.0e-05]"),
    ],
)
def test_interval_has_the_digits_of_its_mean(unit, values, text):
    assert format_interval(Interval(*values, 3, 3, ""), Score(1, unit)) == text


def test_best_mean_is_marked():
    scores = {"psnr": Score(1), "fd": Score(-1), "count": Score(0)}
    rows = [
        Row(
            slice="all",
            system=system,
            metric="m",
            num_samples=4,
            num_scored=4,
            intervals={name: Interval(mean, 0, 9, 3, 3, "") for name, mean in values.items()},
        )
        for system, values in (
            ("one", {"psnr": 1, "fd": 1, "count": 1}),
            ("two", {"psnr": 2, "fd": 2, "count": 2}),
        )
    ]
    assert best_values(rows, scores) == {("two", "all", "psnr"), ("one", "all", "fd")}
    assert best_values(rows[:1], scores) == set()
    assert "| two | all | 4 / 4 | **2.000** [0.000, 9.000] | 2.000 " in markdown_tables(rows, {"m": scores})
