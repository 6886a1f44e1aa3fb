"""The benchmarks run: one case of each, and the interleaving of many."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import cases, tae, tae_memory
from src.core.errors import UserError


def test_one_case_measures_every_phase() -> None:
    settings = tae.BenchConfig(case="TAE", widths=(8, 8, 8, 8), size=16, frames=8, repeats=1)
    found = tae.measure(settings)
    assert all(found[f"{phase}_ns"] > 0 and found[f"{phase}_mib"] >= 0 for phase in tae.PHASES)
    assert found["train_ns"] > found["encode_ns"]


def test_a_streamed_film_is_measured() -> None:
    assert tae_memory.measure(tae_memory.BenchConfig(case=48, widths=(8, 8, 8, 8), size=16)) >= 0


def test_the_memory_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tae_memory, "interleaved", lambda *_, **__: {"16": {"mib": 27.4}, "64": {"mib": 30.0}}
    )
    tae_memory.main(["lengths=[16,64]", f"out={tmp_path}"])
    assert (tmp_path / "tae_memory.md").read_text().splitlines()[2:] == ["| 16 | 27 |", "| 64 | 30 |"]
    assert json.loads((tmp_path / "tae_memory.json").read_text())["mib"] == {"16": 27.4, "64": 30.0}
    with pytest.raises(UserError, match="lengths must be multiples of 8 frames, got 20"):
        tae_memory.main(["lengths=[20]"])


def test_processes_take_turns_and_the_least_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        order.append(command[-1])
        seconds = {"case=a": [3.0, 1.0], "case=b": [2.0, 5.0]}[command[-1]][len(order) > 2]
        return SimpleNamespace(returncode=0, stdout=f"noise\n{json.dumps({'s': seconds, 'n': 7})}\n")

    monkeypatch.setattr(cases.subprocess, "run", run)
    found = cases.interleaved("module", ["a", "b"], [], rounds=2)
    assert order == ["case=a", "case=b"] * 2
    assert found == {"a": {"s": 1.0, "n": 7}, "b": {"s": 2.0, "n": 7}}


def test_a_case_that_fails_ends_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stdout=""))
    with pytest.raises(UserError, match="case a ended with exit code 1"):
        cases.interleaved("module", ["a"], [], rounds=1)


def test_unknown_cases_are_named() -> None:
    with pytest.raises(ValueError, match="case: 'Sora' is none of TAE"):
        tae.BenchConfig(case="Sora")
