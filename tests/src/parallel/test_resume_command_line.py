"""torchrun on four processes, killed in the middle, resumed on another mesh, finished by one process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from src.core.provenance import ROOT
from src.parallel import checkpoint_io
from src.streaming.schema.bucket import Bucket
from src.training.checkpoint_paths import checkpoint_step, last_checkpoint
from tests.fixtures.ranks import free_port
from tests.fixtures.toy_data import write_latents
from tests.fixtures.toy_modules import state_of

CONFIG = """
experiment: video
name: toy
latents: data
transformer: {hidden_size: 16, depth: 2, num_heads: 2, ffn_dim: 16, time_dim: 16, patch: [1, 1, 1],
  max_positions: [1, 2, 2], latent_channels: 2, context_dim: 16}
text: {hidden_size: 16, depth: 1, num_heads: 2, ffn_dim: 16}
data: {streams: {images: {path: "${latents}/train", batch_size: 4}}}
train: {max_steps: 1000, val_every: 0, checkpoint_every: 2, progress: false, lr: 0.001, ema_decay: 0.9,
  log_every: 1, parallel: {accelerator: cpu}}
"""
FSDP4 = ["train.parallel.num_devices=4"]
TP2XCP2 = [*FSDP4, "train.parallel.tensor_parallel=2", "train.parallel.context_parallel=2"]


def start(folder: Path, run: str, *overrides: str, processes: int = 1) -> subprocess.Popen[str]:
    """Start training, by torchrun where there are several processes; all of them form one process group."""
    launcher = [sys.executable, "-m"]
    if processes > 1:
        launcher += ["torch.distributed.run", f"--nproc_per_node={processes}"]
        launcher += [f"--master_port={free_port()}", "-m"]
    return subprocess.Popen(
        [*launcher, "src.train", "toy.yaml", f"run_dir={run}", *overrides],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    try:
        output, _ = process.communicate(timeout=500)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    return output


def step_of(run: Path) -> int:
    path = last_checkpoint(run)
    return checkpoint_step(path) if path is not None else 0


@pytest.mark.long
def test_killed_on_one_mesh_and_resumed_on_others(tmp_path: Path) -> None:
    write_latents(tmp_path / "data/train", {Bucket(1, 16, 16): 12}, tae_key="1" * 64)
    (tmp_path / "toy.yaml").write_text(CONFIG)
    run = tmp_path / "run"
    process = start(tmp_path, "run", *FSDP4, processes=4)
    deadline = time.monotonic() + 400
    while step_of(run) < 4 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    first = step_of(run)
    assert 4 <= first < 900, output
    assert checkpoint_io.is_sharded(last_checkpoint(run))  # type: ignore[arg-type]
    output = finish(start(tmp_path, "run", *TP2XCP2, f"train.max_steps={first + 4}", processes=4))
    assert f"{first} of {first + 4} were done before; resuming" in output or step_of(run) == first + 4
    assert not list((run / "checkpoints").glob(".*.tmp"))
    end = first + 8
    finish(start(tmp_path, "run", f"train.max_steps={end}"))
    finish(start(tmp_path, "straight", f"train.max_steps={end}", "train.checkpoint_every=500"))
    ours, theirs = (state_of(last_checkpoint(tmp_path / name)) for name in ("run", "straight"))  # type: ignore[arg-type]
    assert ours.keys() == theirs.keys()
    assert int(ours["batch_counter"]) == end
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=2e-4, atol=2e-4, msg=name)
