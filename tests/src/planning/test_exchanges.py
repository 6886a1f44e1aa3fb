"""Bytes that a step sends, from sizes, compared with those that four processes send."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from src.core import config
from src.planning.exchanges import sent_bytes
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import workload
from src.runs.config import VideoRunConfig
from src.streaming.rank_slices import slice_of
from src.streaming.schema.bucket import Bucket
from tests.fixtures.mesh_runs import MESHES, MeshModule, process_mesh
from tests.fixtures.ranks import Ranks
from tests.fixtures.step_memory import random_batch

BUCKET, SAMPLES = Bucket.parse("16x64x64"), 4
c10d = torch.ops.c10d


class SentBytes(TorchDispatchMode):
    """Adds up what this process sends in exchanges, as rings do."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is c10d._allgather_base_.default:
            self._add(args[0], args[2], 1)
        elif func is c10d._reduce_scatter_base_.default:
            self._add(args[1], args[2], 1)
        elif func is c10d.allreduce_.default:
            for tensor in args[0]:
                self._add(tensor, args[1], 2)
        else:
            assert "c10d" not in str(func), f"{func} is not counted"
        return func(*args, **(kwargs or {}))

    def _add(self, tensor: torch.Tensor, group: Any, times: int) -> None:
        size = torch.distributed.ProcessGroup.unbox(group).size()
        self.total += times * tensor.numel() * tensor.itemsize * (size - 1) / size


def stage_of(precision: str, num_micro_batches: int, checkpointed: int) -> VideoRunConfig:
    tree = {
        "experiment": "video", "name": "x", "latents": "x",
        "encoders": {"t5": {"kind": "t5", "path": "x", "dim": 96, "max_tokens": 8}},
        "transformer": {
            "hidden_size": 128, "depth": 2, "num_heads": 4, "ffn_dim": 320, "context_dim": 128,
            "max_positions": [8, 8, 8], "latent_channels": 4, "num_checkpointed_blocks": checkpointed,
        },
        "train": {"precision": precision, "num_micro_batches": num_micro_batches, "ema_decay": 0.0},
    }  # fmt: skip
    return config.build(VideoRunConfig, config.read_text(json.dumps(tree)))


def traced(mesh: str, *settings: Any) -> float:
    """Return the bytes that this process sends in its second step."""
    stage = stage_of(*settings)
    module = MeshModule(stage.transformer, stage.text, stage.flow, stage.train, stage.encoders)
    module.mesh = place = process_mesh(mesh)
    assert place is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("src.training.precision.has_bf16", lambda device_type: True)
        module.configure_model()
    module.optimizer = module.configure_optimizers()
    module.train()
    own = list(slice_of(SAMPLES, place.num_data_ranks, place.data_rank))
    batch = replace(random_batch(stage, BUCKET, SAMPLES).take(own), global_indices=own)
    module.training_step(batch, 0)
    batch.step = 1
    with SentBytes() as sent:
        module.training_step(batch, 1)
    return sent.total


@pytest.mark.parametrize(
    ("mesh", "settings"),
    [
        ("fsdp4", ("fp32", 1, 0)),
        ("hsdp2x2", ("fp32", 2, 0)),
        ("tp2xfsdp2", ("bf16", 1, 2)),
        ("cp2xfsdp2", ("bf16", 1, 1)),
        ("tp2xcp2", ("fp32", 2, 2)),
    ],
)
def test_planned_bytes_are_those_sent(mesh: str, settings: tuple[str, int, int], four_ranks: Ranks) -> None:
    stage, sizes = stage_of(*settings), MESHES[mesh]
    peers = sizes.get("context_parallel", 1) * sizes.get("tensor_parallel", 1)
    shape = Mesh(
        sizes.get("dp_replicate", 1),
        4 // peers // sizes.get("dp_replicate", 1),
        sizes.get("context_parallel", 1),
        sizes.get("tensor_parallel", 1),
    )
    load = RankLoad.of(SAMPLES, shape, stage.train.num_micro_batches)
    planned = sent_bytes(workload(stage), shape, load, BUCKET.num_tokens(stage.data.token_size))
    for found in four_ranks.run(traced, mesh, *settings):
        assert planned.total == pytest.approx(found, rel=0.01)
