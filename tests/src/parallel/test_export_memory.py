"""An export reads and writes one tensor at a time."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from src.core import config
from src.core.provenance import ROOT
from src.parallel.sharded_saver import ShardedSaver
from src.runs.config import VideoRunConfig
from tests.fixtures.toy_runs import VIDEO

PROGRAM = """
import resource, sys
from src import export
import src.inference.export_weights
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export.main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (tmp_path / "toy.yaml").write_text(VIDEO)
    (run / "config.yaml").write_text(config.to_yaml(config.load(VideoRunConfig, tmp_path / "toy.yaml")))
    tensors = {f"model/ema.x{i}": torch.full((1024, 1024), float(i)) for i in range(64)}  # 4 MiB each
    tensors |= {f"model/x{i}": torch.zeros(1024) for i in range(64)}
    entries = {"optimizer_groups": [], "tae_key": "k"}
    ShardedSaver(is_async=False).save(tensors, entries, run / "checkpoints/step-00000001.ckpt")
    argv = [sys.executable, "-c", PROGRAM, f"run={run}", f"out={tmp_path / 'x.safetensors'}"]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    size_kib = (tmp_path / "x.safetensors").stat().st_size / 1024
    assert size_kib > 250_000
    assert int(result.stdout.splitlines()[-1]) < 0.25 * size_kib
