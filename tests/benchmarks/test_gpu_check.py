"""The check of a GPU: a rehearsal on the CPU at toy size, without the packages that it does without."""

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import attention
from benchmarks.gpu_check.attention import AttentionCall
from benchmarks.gpu_check.bench import Bench, Row, Rows
from benchmarks.gpu_check.sizes import FULL, PEAK_TFLOPS, SIZES, TOY
from benchmarks.gpu_check.transformer import TrainingStep, sampling
from src.core import config as configs
from src.core.errors import UserError
from src.planning.hardware import GPUS

ROOT = Path(__file__).parents[2]
ABSENT = (
    *("omegaconf", "litdata", "lightning", "torchmetrics", "torchvision"),
    *("diffusers", "flash_attn", "transformers", "av", "rich", "PIL"),
)
REHEARSAL = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
import torch
torch.set_num_threads(1)
from benchmarks.gpu_check.__main__ import main
main(sys.argv[1:])
print("LOADED", *sorted({{name.split(".")[1] for name in sys.modules if name.startswith("src.")}}))
"""


def test_rehearsal_without_the_packages_that_it_does_without(tmp_path: Path) -> None:
    args = ["device=cpu", "compile_backend=eager", f"out={tmp_path}/check"]
    done = subprocess.run([sys.executable, "-c", REHEARSAL, *args], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "LOADED core flow inference losses models parallel"
    lines = [json.loads(line) for line in (tmp_path / "check.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(line["case"] for line in lines)) == list(gpu_check.CASES)
    assert "missing: nothing" in done.stdout
    table = (tmp_path / "check.md").read_text()
    assert len(table.splitlines()) == len(lines) + 2
    values = {(line["case"], line["what"]): line["value"] for line in lines}
    for case in ("400M step", "400M step compiled", "1B step", "1B step compiled"):
        assert values[case, "step"] > 0
        assert values[case, "of the attainable peak"] > 0
        assert values[case, "peak memory"] > 0
    for what in ("transformer: output", "transformer: gradients", "TAE: output", "TAE: gradients"):
        assert values["device parity", what] == 0
    assert values["compile parity", "loss after two steps"] < 1e-3
    assert values["FSDP2", "FSDP2: gradients"] < 1e-5
    assert 0 < values["attention parity", "chunked"] < 0.03
    assert {line["note"] for line in lines if line["what"] == "Wan"} == {"diffusers is not installed"}


def fast(bench: Bench) -> Rows:
    yield Row("number", 1.0)


def slow(bench: Bench) -> Rows:
    yield Row("begun", 1.0)
    time.sleep(5)
    yield Row("done", 1.0)


def broken(bench: Bench) -> Rows:
    yield Row("begun", 1.0)
    raise RuntimeError("no kernel")


def test_what_does_not_fit_is_stopped_or_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {"a": (broken, 0.0), "b": (slow, 0.0), "c": (fast, 12.0), "d": (fast, 0.0)}
    monkeypatch.setattr(gpu_check, "CASES", cases)
    monkeypatch.setattr(gpu_check, "CASE_S", 0.3)
    gpu_check.main([f"out={tmp_path}/check", "device=cpu", "budget_s=9.3"])
    lines = [json.loads(line) for line in (tmp_path / "check.jsonl").read_text().splitlines()]
    assert [(line["case"], line["what"]) for line in lines] == [
        ("a", "begun"),
        ("a", "failed"),
        ("b", "begun"),
        ("b", "not finished"),
        ("c", "not run"),
        ("d", "number"),
    ]
    notes = {line["what"]: line["note"] for line in lines}
    assert notes["failed"] == "RuntimeError: no kernel"
    assert notes["not finished"] == "stopped after 0 s"
    assert notes["not run"].startswith("skipped: needs 12 s, 9 s of the budget are left")
    assert "missing: a (failed), b (not finished), c (not run)" in capsys.readouterr().out


def test_budget_and_limits_stay_under_six_minutes() -> None:
    settings = gpu_check.parse([])
    assert settings.budget_s + gpu_check.HANGING_S < 360
    assert gpu_check.CASE_S <= 60
    assert all(need_s < gpu_check.CASE_S for _, need_s in gpu_check.CASES.values())


def test_models_are_those_of_the_recipes_and_peaks_those_of_the_planner() -> None:
    for name, path in (("400M", "gpu_80gb"), ("1B", "node_8x80gb")):
        entries = configs.read_flat(ROOT / f"configs/video/{path}.yaml")
        for key in ("hidden_size", "depth", "num_heads", "ffn_dim", "context_dim"):
            assert entries[f"transformer.{key}"] == getattr(FULL.models[name], key)
    planned = {name.split("_")[0].removeprefix("rtx"): gpu.peak_tflops for name, gpu in GPUS.items()}
    assert planned == PEAK_TFLOPS
    assert list(SIZES["toy"].models) == list(FULL.models)


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989.0), ("NVIDIA A100-SXM4-80GB", 312.0), ("NVIDIA L4", 121.0), ("X", None)],
)
def test_data_sheet_of_a_device(name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert Bench(torch.device("cuda"), TOY).data_sheet_tflops() == peak


@pytest.mark.long
def test_peers_where_diffusers_is_installed() -> None:
    pytest.importorskip("diffusers")
    rows = list(attention.peers(Bench(torch.device("cpu"), TOY)))
    assert [row.what.split(":")[0] for row in rows[::2]] == ["ours", "Wan", "LTX"]
    assert all(row.value and row.value > 0 for row in rows)


def test_a_larger_batch_than_fits_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(bench: Bench, config: object, batch_size: int, compiled: bool) -> list[Row]:
        if batch_size > 1:
            raise torch.OutOfMemoryError
        return [Row("step", 1.0)]

    monkeypatch.setattr("benchmarks.gpu_check.transformer.measure_step", measure)
    rows = list(gpu_check.CASES["1B step"][0](Bench(torch.device("cpu"), TOY)))
    assert [(row.what, row.note) for row in rows] == [("batch of 2", "out of memory"), ("step", "")]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["sizes=toy"], "give key=value with a key of out, device"),
        (["budget_s=soon"], "budget_s=soon"),
        (["budget_s=0"], "budget_s must be more than 0"),
        (["size=huge"], "size must be one of"),
        (["cases=matmul,gemm"], "cases=gemm: no such case; there are environment"),
    ],
)
def test_errors_for_invalid_settings(args: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        gpu_check.main(args)


def test_cases_make_all_tensors_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device a tensor from elsewhere is an error, as on a GPU; it has no autocast."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *args: False)
    bench = Bench(torch.device("meta"), TOY)
    step = TrainingStep(bench, TOY.models["400M"], 2, compiled=False)
    step.loss().mean().backward()
    assert {p.grad.device.type for p in step.net.parameters() if p.grad is not None} == {"meta"}
    assert len(list(sampling(bench))) == 4
    assert next(attention.peers(bench)).what == "ours: forward and backward"
    assert AttentionCall(bench, TOY.attention, torch.bfloat16)("sdpa: math")[0].device.type == "meta"
