"""Progress on a terminal and in a log."""

import io

import pytest
from rich.console import Console

from src.core import progress as progress_module
from src.core.progress import ProgressReport, format_clock, progress


def run(terminal: bool, finished: int = 0) -> str:
    out = io.StringIO()
    with progress("train", 10, finished, Console(file=out, force_terminal=terminal, width=120)) as advance:
        for _ in range(finished, 10, 2):
            advance(2)
    return out.getvalue()


def test_a_log_gets_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(False) == "train 10/10  left 0:00\n"
    assert run(False, 4) == "train: 4 of 10 were done before; resuming\ntrain 10/10  left 0:00\n"
    monkeypatch.setattr(progress_module, "LOG_SECONDS", -1.0)
    assert [line.split()[1] for line in run(False).splitlines()] == ["2/10", "4/10", "6/10", "8/10", "10/10"]


def test_a_terminal_gets_a_bar() -> None:
    assert "10/10" in run(True)


def test_time_left_comes_from_this_session() -> None:
    report = ProgressReport("x", 1000, 900, Console(file=io.StringIO()))
    report._start, report.done = 50.0, 950
    assert report._seconds_left(60.0) == pytest.approx(10.0)
    assert [format_clock(s) for s in (0, 59.6, 61, 3661)] == ["0:00", "1:00", "1:01", "1:01:01"]
