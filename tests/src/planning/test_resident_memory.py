"""Planned memory against the growth of a process, for a model of more than 300 million parameters."""

import json
import subprocess
import sys

import pytest

from src.core import config
from src.core.provenance import ROOT
from src.planning.memory import peak_memory
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import workload
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket

TREE = {
    "experiment": "video", "name": "x", "latents": "x",
    "encoders": {"t5": {"kind": "t5", "path": "x", "dim": 768, "max_tokens": 64}},
    "transformer": {
        "hidden_size": 1024, "depth": 20, "num_heads": 8, "ffn_dim": 2816, "context_dim": 1024,
        "max_positions": [8, 16, 16], "attention": "sdpa",
    },
    "train": {"val_every": 0, "warmup_steps": 0},
}  # fmt: skip
BUCKET = "32x256x256"
PROGRAM = """
import contextlib, json, resource, sys
import torch
from src.core import config
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket
from tests.fixtures.step_memory import random_batch, run_steps
stage = config.build(VideoRunConfig, config.read_text(sys.argv[1]))
torch.ones(64, 64).requires_grad_().matmul(torch.ones(64, 64)).sum().backward()  # libraries allocate once
before = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
run_steps(stage, random_batch(stage, Bucket.parse(sys.argv[2]), 1), contextlib.nullcontext)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
"""


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_process_grows_by_what_is_planned(precision: str) -> None:
    text = json.dumps(TREE | {"train": TREE["train"] | {"precision": precision}})
    stage = config.build(VideoRunConfig, config.read_text(text))
    work = workload(stage)
    assert work.num_params > 300e6
    tokens = Bucket.parse(BUCKET).num_tokens(stage.data.token_size)
    planned = peak_memory(work, Mesh(1, 1, 1, 1), RankLoad(1, 1, 1), tokens).total
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, text, BUCKET], cwd=ROOT, capture_output=True, text=True, check=True
    )
    grown = float(result.stdout)
    print(
        f"{precision}: {work.num_params / 1e6:.0f} M, planned {planned / 1e9:.2f}, grown {grown / 1e9:.2f} GB"
    )
    assert planned == pytest.approx(grown, rel=0.15)
