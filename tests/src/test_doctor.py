"""The doctor names each kind of problem and says what to do, in a few seconds."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import av
import pytest
import torch

from src import doctor
from src.core import cli
from src.core.provenance import ROOT
from src.planning import findings, run_findings
from src.streaming.schema.bucket import Bucket
from tests.fixtures.toy_data import write_latents

Usage = namedtuple("Usage", "total used free")
CONFIG = """
experiment: video
name: toy
latents: data
transformer: {hidden_size: 16, depth: 1, num_heads: 2, ffn_dim: 16, time_dim: 16, patch: [1, 1, 1],
  max_positions: [1, 2, 2], latent_channels: 2, context_dim: 16}
text: {hidden_size: 16, depth: 1, num_heads: 1, ffn_dim: 16}
data: {streams: {images: {path: "${latents}/train", batch_size: 4}}}
train: {max_steps: 1, val_every: 0, parallel: {accelerator: cpu}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    write_latents(tmp_path / "data/train", {Bucket(1, 16, 16): 8})
    Path("toy.yaml").write_text(CONFIG)
    return tmp_path


def report(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Return exit code and findings, each on one line with its advice."""
    code = cli.run(doctor.main, list(argv))
    captured = capsys.readouterr()
    assert captured.err.count("\n") == (code != 0)
    return code, captured.out.replace("\n         -> ", " -> ")


def test_a_healthy_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = report(capsys, "toy.yaml")
    assert code == 0, text
    for words in (
        "packages as pyproject.toml asks for",
        f"has all {len(findings.DECODERS) + len(findings.ENCODERS)} codecs",
        "GB free at runs/toy",
        "1 process(es), as the launcher and the config have it",
        "data.streams.images: 8 records of latents in data/train",
    ):
        assert words in text
    assert not list(folder.glob("runs*"))  # it looks and writes nothing


def test_the_command(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "src.doctor", "toy.yaml", "latents=gone"]
    result = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 1
    assert result.stderr == "error: 1 finding(s) would stop a run\n"
    assert "gone/train" in result.stdout


def test_packages(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "litdata":
            raise importlib.metadata.PackageNotFoundError(name)
        return {"torch": "1.0", "numpy": f"{real('numpy')}+local"}.get(name) or real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    code, text = report(capsys)
    assert code == 1
    assert "error    litdata is not installed, needed is litdata" in text
    assert "-> pip install 'litdata" in text
    assert "error    torch 1.0 is installed, needed is torch" in text
    assert "numpy" not in text


def test_codecs(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = av.Codec

    def codec(name: str, mode: str) -> Any:
        if name == "libx264" or (name, mode) == ("av1", "r"):
            raise ValueError(name)
        return real(name, mode)

    monkeypatch.setattr(av, "Codec", codec)
    code, text = report(capsys)
    assert code == 1
    assert "lacks av1 (decoder), libx264 (encoder) -> pip install --force-reinstall av" in text


@pytest.mark.parametrize(
    ("has_cuda_build", "driver", "overrides", "expected"),
    [
        (False, "550.54", [], (1, "a GPU is there (driver 550.54), but torch")),
        (False, "", ["train.parallel.accelerator=cuda"], (1, "-> use configs/hardware/cpu.yaml")),
        (False, "", ["train.parallel.accelerator=auto"], (0, "warning  no GPU: torch")),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="of machines without a GPU")
def test_no_gpu(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_cuda_build: bool,
    driver: str,
    overrides: list[str],
    expected: tuple[int, str],
) -> None:
    monkeypatch.setattr(findings, "_driver", lambda: driver)
    monkeypatch.setattr(torch.version, "cuda", "13.0" if has_cuda_build else None)
    code, text = report(capsys, "toy.yaml", *overrides)
    assert (code, expected[1] in text) == (expected[0], True), text


def test_gpus_of_another_number_and_kind(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = namedtuple("Properties", "total_memory")(16 * 10**9)
    for name, value in {
        "is_available": True,
        "device_count": 1,
        "get_device_name": "T4",
        "get_device_properties": memory,
        "is_bf16_supported": False,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *args, value=value, **kwargs: value)
    many = ["train.parallel.accelerator=cuda", "train.parallel.num_devices=2", "train.precision=bf16"]
    code, text = report(capsys, "toy.yaml", *many)
    assert code == 1
    assert "1 x T4, 16 GB each" in text
    assert "num_devices=2, this machine has 1 -> train.parallel.num_devices=1" in text
    assert "warning  T4 has no bf16: train.precision=bf16 becomes fp32" in text
    assert "GB planned for bucket 1x16x16, a GPU has 16.0 GB" in text
    monkeypatch.setattr(run_findings, "GB", 1.0)  # everything is a thousand million times larger
    code, text = report(capsys, "toy.yaml", "train.parallel.accelerator=cuda")
    assert "-> python -m src.plan with this config shows what fits" in text


def test_disk_and_shared_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 * 10**6, 0, 10**9))
    code, text = report(capsys, "toy.yaml", "data.num_workers=2")
    assert code == 1
    assert "1 GB free at runs/toy, 5.0 GB needed -> give run_dir=... on a larger disk" in text
    if sys.platform == "linux":
        assert "/dev/shm has 0.06 GB, workers pass batches through it -> in a container --shm-size=8g" in text


def test_the_launcher(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8"}.items():
        monkeypatch.setenv(name, value)
    code, text = report(capsys, "toy.yaml")
    assert code == 1
    assert "torchrun started 8 processes, 8 of them on this node -> use train.parallel.num_devices=8" in text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["start_from=runs/gone"], "start_from=runs/gone: not found -> make it first"),
        (["latents=gone"], "gone/train"),
        (["data.streams.images.path=toy.yaml"], "toy.yaml"),
        (["train.parallel.num_devices=16"], "error    "),  # a batch of 4
        (["train.max_step=5"], "config: unknown key train.max_step"),
        (["train.max_steps=0"], "config: train: max_steps must be at least 1"),
    ],
)
def test_mistakes_of_a_config(
    folder: Path, capsys: pytest.CaptureFixture[str], overrides: list[str], words: str
) -> None:
    code, text = report(capsys, "toy.yaml", *overrides)
    line = next((line for line in text.splitlines() if line.startswith("error") and words in line), None)
    assert (code, bool(line)) == (1, True), text
    assert " -> " in str(line)
