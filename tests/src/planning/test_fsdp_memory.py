"""Planned memory against FSDP2 itself on fake tensors, in a group of processes of which only one exists."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from src.core import config
from src.models.transformer.model import MediaTransformer
from src.parallel.fsdp import ParallelContext, shard
from src.planning.memory import peak_memory
from src.planning.mesh import Mesh, RankLoad
from src.planning.workload import Workload, workload
from src.runs.config import VideoRunConfig
from tests.fixtures.step_memory import LiveBytes

PAPER = Path(__file__).resolve().parents[3] / "configs" / "paper"
LATENT = (1, 16, 32, 96, 96)  # 73,728 tokens


class LiveLocalBytes(LiveBytes):
    """Counts the local parts of DTensors."""

    def _add(self, tensors: list[Any]) -> None:
        super()._add([each._local_tensor if isinstance(each, DTensor) else each for each in tensors])


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[int]:
    dist.init_process_group("fake", rank=0, world_size=request.param, store=FakeStore())
    yield request.param
    dist.destroy_process_group()


@cache
def paper() -> Workload:
    files = [PAPER / f"{name}.yaml" for name in ("joint_768", "video_30b")]
    return workload(config.build(VideoRunConfig, config.read(files, ("transformer.attention=sdpa",))))


def with_depth(depth: int) -> Workload:
    """Return the 30B with fewer blocks, alone: without networks of conditions, optimizer and EMA."""
    work = paper()
    c = work.transformer
    return replace(
        work,
        transformer=replace(c, depth=depth, num_checkpointed_blocks=depth),
        block_params=work.block_params * depth // c.depth,
        table_params=work.table_params * depth // c.depth,
        text_params=0,
        train=replace(work.train, ema_decay=0.0),
    )


def measured_peak(work: Workload, world: int) -> int:
    """Return the peak of a forward and a backward pass under FSDP2."""
    net: Any
    mesh = init_device_mesh("cpu", (world,))
    with FakeTensorMode():
        with torch.device("meta"):
            net = MediaTransformer(work.transformer)
        shard(net, ParallelContext(mesh=mesh, param_dtype=torch.bfloat16))
        net.to_empty(device="cpu")
        tokens: Tensor = torch.randn(1, work.text_tokens, work.transformer.context_dim)
        x, t = torch.randn(LATENT), torch.rand(1)
        with LiveLocalBytes([*net.parameters(), tokens, x]) as live, torch.autocast("cpu", torch.bfloat16):
            net(x, t, tokens).float().square().mean().backward()
    return live.peak


def planned_peak(work: Workload, world: int) -> float:
    planned = peak_memory(work, Mesh(1, world, 1, 1), RankLoad(1, 1, 1), 73_728)
    return planned.total - planned.optimizer


@pytest.mark.long
@pytest.mark.parametrize(("group", "depth"), [(256, 48)], indirect=["group"])
def test_the_30b_under_fsdp2_takes_what_is_planned(group: int, depth: int) -> None:
    work = with_depth(depth)
    measured, planned = measured_peak(work, group), planned_peak(work, group)
    print(f"{depth} blocks on {group}: measured {measured / 1e9:.2f} GB, planned {planned / 1e9:.2f} GB")
    assert planned == pytest.approx(measured, rel=0.1)


@pytest.mark.long
@pytest.mark.parametrize("group", [6144], indirect=True)
def test_the_30b_on_the_papers_cluster(group: int) -> None:
    """Two and four blocks are measured; from them follow the paper's 48."""
    measured = {depth: measured_peak(with_depth(depth), group) for depth in (2, 4)}
    measured[48] = measured[4] + 22 * (measured[4] - measured[2])
    for depth, found in measured.items():
        planned = planned_peak(with_depth(depth), group)
        print(f"{depth} blocks on {group}: measured {found / 1e9:.2f} GB, planned {planned / 1e9:.2f} GB")
        assert planned == pytest.approx(found, rel=0.1)
