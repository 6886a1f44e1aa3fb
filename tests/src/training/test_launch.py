"""Training through the command line where the launcher or the accelerator is unusual."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src import train
from src.core.errors import UserError
from src.core.provenance import ROOT
from src.training.checkpoint_paths import last_checkpoint, list_checkpoints
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import build_trainer
from tests.fixtures.ranks import free_port
from tests.fixtures.toy_data import write_pixels
from tests.fixtures.toy_modules import train_config, two_processes

CONFIG = """
experiment: tae
name: toy
model: {channels: [8, 8, 8, 8], latent_channels: 4, num_blocks: 1, norm: rms, attention: false}
data: {streams: {videos: {path: data, batch_size: 4}}, val: {videos: {path: data, batch_size: 4}}}
train: {max_steps: 2, val_every: 0, log_every: 1, progress: false}
"""


def start(run_dir: Path, *overrides: str, **variables: str) -> subprocess.Popen[str]:
    """Start `python -m src.train` on a toy config, with additional environment variables."""
    env = {k: v for k, v in os.environ.items() if "RANK" not in k and not k.startswith("SLURM")}
    env |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}
    words = ["toy.yaml", f"run_dir={run_dir.name}", *overrides]
    return subprocess.Popen(
        [sys.executable, "-m", "src.train", *words],
        cwd=run_dir.parent,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pixels(tmp_path / "data", {(8, 16, 16): 8})
    (tmp_path / "toy.yaml").write_text(CONFIG)
    return tmp_path


def test_two_slurm_tasks_train_together(folder: Path) -> None:
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    parallel = ["train.parallel.accelerator=cpu", "train.parallel.num_devices=2"]
    tasks = [
        start(folder / "run", *parallel, **job, SLURM_PROCID=str(task), SLURM_LOCALID=str(task))
        for task in (0, 1)
    ]
    try:
        outputs = [task.communicate(timeout=120) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    assert [task.returncode for task in tasks] == [0, 0], outputs
    assert "videos" in outputs[0][0]  # the report of the data
    assert outputs[1][0] == ""
    path = last_checkpoint(folder / "run")
    assert path is not None
    assert path.name == "step-00000002.ckpt"
    assert [record["step"] for record in read_metrics(folder / "run" / METRICS_FILE)] == [1, 2]


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a command that has to succeed; return what it printed."""
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


def test_a_run_is_resumed_with_other_processes_and_intervals(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    train.main(["toy.yaml", "run_dir=uninterrupted", "train.max_steps=6"])
    run, changed = folder / "run", ["data.num_workers=1", "train.val_every=3", "train.progress=true"]
    finish(start(run))
    two_processes = [str(ROOT / "configs/hardware/cpu_fsdp.yaml"), "train.checkpoint_every=1"]
    output = finish(start(run, *two_processes, *changed, "train.max_steps=4"))
    assert "toy: 2 of 4 were done before; resuming" in output
    names = [path.name for path in list_checkpoints(run)]
    assert names == ["step-00000003.ckpt", "step-00000004.ckpt"]
    finish(start(run, "train.max_steps=6"))
    ours, theirs = (read_metrics(path / METRICS_FILE) for path in (run, folder / "uninterrupted"))
    assert [r["step"] for r in ours if "val/loss" in r] == [3, 4]
    losses = [r["train/loss"] for r in ours if "train/loss" in r]
    assert losses == pytest.approx([r["train/loss"] for r in theirs], rel=1e-5)
    assert len(losses) == 6 == len({round(loss, 4) for loss in losses})


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_a_one_line_error(folder: Path) -> None:
    process = start(folder / "run", "train.parallel.accelerator=cuda")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("error: train.parallel.accelerator=cuda: no usable GPU")
    assert errors.count("\n") == 1


def test_slurm_job_of_another_size_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NAME": "train"}
    job |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "MASTER_ADDR": "127.0.0.1"}
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"--ntasks-per-node=2 --nodes=1") as error:
        build_trainer(
            train_config(parallel=two_processes()), tmp_path, resumed_at=0, validates=False, callbacks=[]
        )
    assert "\n" not in str(error.value)
