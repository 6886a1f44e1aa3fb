"""The benchmark of the transformer: cases, tables and goals, resuming."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import cases, record, video, video_models
from benchmarks.record import BenchmarkRecord
from benchmarks.video_table import format_markdown
from src.core.errors import UserError

PHASES = ("forward", "train", "checkpointed")


def measure(case: str) -> dict[str, float]:
    return video.measure(
        video.VideoBenchConfig(case=case, models=("ours", "attainable"), layers=3, repeats=2)
    )


def test_our_case_measures_every_phase() -> None:
    # In a process of its own, where no memory freed by other tests is reused.
    args = ["models=[ours]", "layers=3", "repeats=2"]
    found = cases.run_interleaved("benchmarks.video", ["ours/64/1024/float32"], args, 1)[
        "ours/64/1024/float32"
    ]
    assert found["train_kb"] > found["checkpointed_kb"] > found["forward_kb"] > 0
    assert found["step_us"] > 0.5 * found["pass_us"] > 0


def test_attainable_peak_has_our_matrix_products() -> None:
    size = video_models.Size(64, 2, 256)
    ours, _ = video_models.build("ours", size, torch.float32)
    matrices = sum(
        p.numel() for n, p in ours.transformer.named_parameters() if "t_embedder." not in n and p.ndim > 1
    )
    tables = sum(
        p.numel() for n, p in ours.transformer.named_parameters() if "table" in n or "pos_embed." in n
    )
    weights = [
        args[1] for call, args in video_models.AttainablePeak(size, torch.float32).calls if len(args) == 2
    ]
    assert sum(w.numel() for w in weights) == matrices - tables


def test_models_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measure("times/64/256/bfloat16")
    assert list(found) == [f"ours/{phase}_us" for phase in ("forward", "checkpointed", "train")] + [
        f"attainable/{phase}_us" for phase in ("forward", "train")
    ]
    assert found["ours/train_us"] > found["ours/forward_us"] > 0
    called: list[str] = []
    calls = {name: {"forward": lambda name=name: called.append(name)} for name in ("a", "b")}
    size = video_models.Size(64, 1, 256)
    video.measure_times(calls, size, video.VideoBenchConfig(repeats=3))
    assert called == ["a", "b"] * 3
    video.measure_times(calls, size, video.VideoBenchConfig(repeats=9, budget=0.0))
    assert called == ["a", "b"] * 5


@pytest.mark.parametrize("model", ["ours", *video_models.PEERS])
def test_models_have_one_dtype(model: str) -> None:
    if model != "ours":
        pytest.importorskip("diffusers")
    net, _ = video_models.build(model, video_models.Size(128, 3, 256), torch.bfloat16)
    assert {each.dtype for each in (*net.parameters(), *net.buffers())} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("peer", video_models.PEERS)
def test_peers_have_our_hidden_size(peer: str) -> None:
    pytest.importorskip("diffusers")
    warnings.simplefilter("ignore")  # of diffusers
    size = video_models.Size(128, 3, 256)
    net, call = video_models.build(peer, size, torch.float32)
    with torch.no_grad():
        assert call().numel() == 256 * video_models.PATCH_DIM
    assert net.config.num_attention_heads * net.config.attention_head_dim == 128


def test_table_and_goals() -> None:
    record_ = BenchmarkRecord(fixed={"versions": {"torch": "2"}})
    same = {f"{phase}_{unit}": 100.0 for phase in PHASES for unit in ("us", "kb")}
    ours = {**same, "train_kb": 300.0, "pass_us": 10.0, "step_us": 10.5, "parameters": 2}
    record_.runs = {
        "ours/384/1024/float32": [
            {**ours, "train_kb": 300.0, "pass_us": 10.0, "step_us": 10.5, "parameters": 2}
        ],
        "Wan/384/1024/float32": [{**{k: 130.0 for k in same}, "parameters": 3}],
        "LTX/384/1024/float32": [{**{k: 120.0 for k in same}, "parameters": 3}],
        "times/384/1024/float32": [{"attainable/forward_us": 60.0, "attainable/train_us": 80.0}],
    }
    text = format_markdown(record_)
    for line in (
        "| ours | 0.0 M | 100 (1.20x) | 100 (1.20x) | 100 (1.20x) | 300 (0.40x) | 100 (1.20x) |",
        "| 384 / 1024 / float32 | forward: 1x the best peer | 1.20x | yes |",
        "| 384 / 1024 / float32 | forward: 70% of the attainable peak | 60% | no |",
        "| 384 / 1024 / float32 | forward + backward: 70% of the attainable peak | 80% | yes |",
        "| 384 / 1024 / float32 | at most 284 KB/token | 300 | no |",
        "| 384 / 1024 / float32 | sampling step: 1.1 forward passes | 1.05 | yes |",
    ):
        assert line in text


def test_finished_cases_are_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        called.append(command[-1])
        number = len(called)
        return SimpleNamespace(returncode=int(number == 3), stdout=json.dumps({"s": 1.0 / number}))

    monkeypatch.setattr(record, "provenance", SimpleNamespace(collect=dict))

    monkeypatch.setattr(cases.subprocess, "run", run)
    path = tmp_path / "deep" / "bench.json"
    with pytest.raises(UserError, match="case a failed"):
        cases.run_interleaved("module", ["a", "b"], [], 2, BenchmarkRecord.open(path, {"layers": 2}))
    found = cases.run_interleaved("module", ["a", "b"], [], 2, BenchmarkRecord.open(path, {"layers": 2}))
    assert called == ["case=a", "case=b", "case=a", "case=a", "case=b"]
    assert found == {"a": {"s": 0.25}, "b": {"s": 0.2}} == json.loads(path.read_text())["cases"]
    with pytest.raises(UserError, match="layers=2, not 3"):
        BenchmarkRecord.open(path, {"layers": 3})


@pytest.mark.parametrize("hardware", [True, False])
def test_bfloat16_is_skipped_where_it_would_be_emulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hardware: bool
) -> None:
    called: list[str] = []
    monkeypatch.setattr(video, "has_bf16", lambda kind: hardware)
    monkeypatch.setattr(video, "run_interleaved", lambda module, cases, *_: called.extend(cases))
    monkeypatch.setattr(
        video.BenchmarkRecord, "open", lambda *_: BenchmarkRecord(fixed={"versions": {"torch": "2"}})
    )
    args = ["models=[ours]", "widths=[384]", "tokens=[256]", f"out={tmp_path}/bench.json"]
    video.main(args)
    rows = [f"{each}/384/256/{dtype}" for dtype in video.DTYPES for each in ("ours", "times")]
    assert called == rows[: 4 if hardware else 2]
    assert ("bfloat16 is skipped" in capsys.readouterr().out) is not hardware


def test_errors_for_invalid_settings() -> None:
    for fields, message in (
        ({"models": ("Sora",)}, "models must be of ours.*, got 'Sora'"),
        ({"widths": (100,)}, "widths must be multiples of 64, got 100"),
        ({"tokens": (300,)}, "tokens must be of 256.*, got 300"),
        ({"repeats": 1}, "repeats must be at least 2"),
        ({"case": "Wan/384"}, "case must be MODEL/WIDTH/TOKENS/DTYPE"),
    ):
        with pytest.raises(ValueError, match=message):
            video.VideoBenchConfig(**fields)
