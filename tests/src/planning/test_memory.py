"""Planned memory against the bytes of live tensors in real steps."""

import json
from typing import Any

import pytest

from src.core import config
from src.planning.memory import peak_memory
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import workload
from src.runs.config import VideoRunConfig
from src.streaming.schema.bucket import Bucket
from tests.fixtures.step_memory import LiveBytes, random_batch, run_steps

SIZES = {
    "hidden_size": 128, "depth": 4, "num_heads": 4, "ffn_dim": 344, "context_dim": 128,
    "max_positions": [8, 16, 16], "attention": "sdpa",
}  # fmt: skip
DIT = {"ffn_kind": "gelu", "norm": "layer", "bias": True}
WIDE = {"hidden_size": 512, "num_heads": 8, "ffn_dim": 1376, "context_dim": 512, "qk_norm": True}
BF16 = {"precision": "bf16"}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str, int]] = {
    "fp32": ({}, {}, "32x256x256", 1),
    "bf16": ({}, BF16, "32x256x256", 1),
    "DiT": (DIT, {}, "32x256x256", 1),
    "DiT in bf16": (DIT, BF16, "32x256x256", 1),
    "checkpointed": ({"num_checkpointed_blocks": 4}, BF16, "32x256x256", 1),
    "half checkpointed": ({"num_checkpointed_blocks": 2}, {}, "32x256x256", 1),
    "images": ({}, BF16, "1x256x256", 4),
    "micro-batches": ({}, BF16 | {"num_micro_batches": 2}, "16x256x256", 4),
    "wide": (WIDE, {}, "16x128x128", 2),
    "wide without EMA": (WIDE, {"ema_decay": 0.0}, "16x128x128", 2),
}


def stage_of(transformer: dict[str, Any], train: dict[str, Any]) -> VideoRunConfig:
    encoders = {"t5": {"kind": "t5", "path": "x", "dim": 96, "max_tokens": 32}}
    tree = {
        "experiment": "video", "name": "x", "latents": "x", "encoders": encoders,
        "transformer": SIZES | transformer, "train": {"val_every": 0, "warmup_steps": 0} | train,
    }  # fmt: skip
    return config.build(VideoRunConfig, config.read_text(json.dumps(tree)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_peak_is_that_of_live_tensors(name: str) -> None:
    transformer, train, bucket, samples = CASES[name]
    stage, size = stage_of(transformer, train), Bucket.parse(bucket)
    parts = stage.train.num_micro_batches
    load = RankLoad(parts, samples // parts, samples)
    planned = peak_memory(workload(stage), Mesh(1, 1, 1, 1), load, size.num_tokens(stage.data.token_size))
    measured = run_steps(stage, random_batch(stage, size, samples), LiveBytes)
    assert planned.total == pytest.approx(measured.peak, rel=0.05)
