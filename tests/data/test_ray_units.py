"""Attempts that follow the death of a worker; no cluster is needed."""

import sys
from pathlib import Path

import pytest

from data.ray_units import MAX_DEATHS, Attempt, retry_attempt
from data.work_units import WorkUnit, process_unit
from src.core import ray_tasks
from src.core.errors import UserError
from src.streaming.schema.bucket import DataError
from src.streaming.schema.writer import PixelWriter
from tests.fixtures.toy_sources import ToySource


def unit_in(root: Path) -> WorkUnit:
    (root / ".parts").mkdir(parents=True, exist_ok=True)
    return WorkUnit(root, 0, tuple(ToySource(3).splits()["train"]), 1 << 20)


def test_one_death_is_no_proof_and_two_at_one_input_are(tmp_path: Path) -> None:
    with PixelWriter(tmp_path / "set", "k") as writer:
        unit = unit_in(tmp_path / "set")
        unit.marker.write_text("1")
        (second,) = retry_attempt(Attempt(unit))
        assert (second.suspect, second.unit.failed_inputs) == (1, frozenset())
        unit.marker.write_text("2")  # another input this time: its node died
        (third,) = retry_attempt(second)
        assert (third.suspect, third.unit.failed_inputs) == (2, frozenset())
        (fourth,) = retry_attempt(third)
        assert fourth.unit.failed_inputs == frozenset({2})
        process_unit(ToySource(3), fourth.unit)
        writer.finish(1)
    lines = (tmp_path / "set" / "rejected.jsonl").read_text().splitlines()
    (crashed,) = [line for line in lines if "decoder crashed" in line]
    assert crashed.endswith('"source": "clip0002"}')


def test_workers_that_die_before_any_input_end_the_run(tmp_path: Path) -> None:
    attempt = Attempt(unit_in(tmp_path))
    for _ in range(MAX_DEATHS):
        (attempt,) = retry_attempt(attempt)
    with pytest.raises(DataError, match="workers of part 0 die before they read an input"):
        retry_attempt(attempt)


def test_without_ray_the_message_names_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"engine=ray needs Ray: pip install .*requirements/cluster\.lock"):
        ray_tasks.run_tasks(print, [1], address="", retry=lambda task: [task], done=print)
