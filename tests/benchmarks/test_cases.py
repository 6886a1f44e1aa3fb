"""One case of each autoencoder benchmark, and interleaved processes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import cases, tae, tae_memory
from benchmarks.autoencoders import PHASES
from src.core.errors import UserError
from src.models.tae.config import TilingConfig
from tests.fixtures.ranks import run_in_process


def test_a_case_measures_every_phase() -> None:
    assert run_in_process(check_a_case) == 0


def check_a_case() -> None:
    """In a new process: where much was freed before, the allocator would serve the case from that."""
    settings = tae.TAEBenchConfig(case="TAE", widths=(16, 16, 16, 16), size=64, frames=8, repeats=1)
    results = tae.measure(settings)
    assert all(results[phase] > 0 for phase in PHASES)
    assert results["train"] > results["encode"]
    # 140 MiB against 38.
    assert results["train_mib"] > 2 * results["encode_mib"] > 0


@pytest.mark.skipif(not cases.STATUS.exists(), reason="peak memory is reset on Linux only")
def test_peak_memory_counts_freed_tensors() -> None:
    assert run_in_process(check_peak_memory) == 0


def check_peak_memory() -> None:
    """In a new process: where much was freed before, the allocator would serve the tensor from that."""
    cases.reset_peak()
    before = cases.peak_mib()
    del [torch.ones(64 * 2**20 // 4)][0]
    assert 60 < cases.peak_mib() - before < 80
    cases.reset_peak()
    assert cases.peak_mib() - before < 40


@pytest.mark.skipif(not cases.STATUS.exists(), reason="peak memory is reset on Linux only")
def test_memory_of_a_tiled_reconstruction_includes_its_frames() -> None:
    tiling = TilingConfig(frames=48, overlap=0)  # one tile of 36 MiB: malloc maps and unmaps it by itself
    settings = tae_memory.TAEMemoryBenchConfig(case=48, widths=(8, 8, 8, 8), size=256, tiling=tiling)
    assert tae_memory.measure(settings) > 36


def test_memory_table_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        tae_memory, "run_interleaved", lambda *_, **__: {"16": {"mib": 27.4}, "64": {"mib": 30.0}}
    )
    tae_memory.main(["lengths=[16,64]", f"out={tmp_path}"])
    assert (tmp_path / "tae_memory.md").read_text().splitlines()[2:] == ["| 16 | 27 |", "| 64 | 30 |"]
    assert json.loads((tmp_path / "tae_memory.json").read_text())["mib"] == {"16": 27.4, "64": 30.0}
    with pytest.raises(UserError, match="lengths must be multiples of 8 frames, got 20"):
        tae_memory.main(["lengths=[20]"])


def test_processes_are_interleaved_and_the_minimum_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        order.append(command[-1])
        seconds = {"case=a": [3.0, 1.0], "case=b": [2.0, 5.0]}[command[-1]][len(order) > 2]
        return SimpleNamespace(returncode=0, stdout=f"noise\n{json.dumps({'s': seconds, 'n': 7})}\n")

    monkeypatch.setattr(cases.subprocess, "run", run)
    results = cases.run_interleaved("module", ["a", "b"], [], rounds=2)
    assert order == ["case=a", "case=b"] * 2
    assert results == {"a": {"s": 1.0, "n": 7}, "b": {"s": 2.0, "n": 7}}


def test_a_failed_case_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stdout=""))
    with pytest.raises(UserError, match="case a failed with exit code 1"):
        cases.run_interleaved("module", ["a"], [], rounds=1)


def test_error_for_unknown_case() -> None:
    with pytest.raises(ValueError, match=r"case must be one of TAE.*, got 'Sora'"):
        tae.TAEBenchConfig(case="Sora")
