"""Weights of another run: each process reads its shard, and nothing of optimizers or the other weights."""

from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed import tensor as distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard

from src.experiments.average import average_weights
from src.parallel.fsdp import full_tensor
from src.parallel.sharded_saver import ShardedSaver
from src.parallel.weight_source import WeightSource
from src.training.checkpoint_paths import find_checkpoint
from src.training.init_weights import InitFrom
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, state_of, train_config, two_processes, video_module


def train(run_dir: Path, source: Path | None = None, lr: float = 1e-2) -> tuple[Counter[str], int]:
    """Train two steps; return the values that this rank reads from checkpoints, by kind, and all it holds."""
    config = train_config(max_steps=2, val_every=0, lr=lr, parallel=two_processes(sharded_checkpoint=True))
    module = video_module(config)
    init = None if source is None else InitFrom(source)
    with recorded_reads() as found:
        fit(module, ToyData(2), config, run_dir, init_from=init)
    return found, sum(t.numel() for n, t in module.state_dict().items() if not n.startswith("ema."))


class recorded_reads:
    """Counts the values that are read from sharded checkpoints, by the kind of their names."""

    def __enter__(self) -> Counter[str]:
        found: Counter[str] = Counter()
        real = dcp.FileSystemReader.read_data

        def read(self: Any, plan: Any, planner: Any) -> Any:
            for item in plan.items:
                name = item.storage_index.fqn
                kind = "ema" if name.startswith("model/ema.") else name.split("/")[0]
                found[kind] += item.lengths.numel()
            return real(self, plan, planner)

        self.patch = mock.patch.object(dcp.FileSystemReader, "read_data", read)
        self.patch.start()
        return found

    def __exit__(self, *error: object) -> None:
        self.patch.stop()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, ranks: Ranks) -> Path:
    path = tmp_path_factory.mktemp("source")
    ranks.run(train, path)
    return path


def test_a_stage_reads_its_shards_of_the_ema_alone(run: Path, tmp_path: Path, ranks: Ranks) -> None:
    results = ranks.run(train, tmp_path, run, 0.0)
    for found, num_values in results:
        assert set(found) <= {"ema", "model"}
        assert found["model"] <= 16  # latent statistics, which have no EMA
        assert sum(found.values()) < 0.6 * num_values
    ours, theirs = state_of(find_checkpoint(tmp_path)), state_of(find_checkpoint(run))
    names = [n for n in ours if n.startswith("transformer.")]
    assert names
    for name in names:
        torch.testing.assert_close(ours[name], theirs[f"ema.{name}"], msg=name)


def averaged(runs: list[Path]) -> tuple[dict[str, torch.Tensor], int]:
    with recorded_reads() as found:
        mean = average_weights(runs)
    return {name: full_tensor(value) for name, value in mean.items()}, sum(found.values())


def test_averages_of_two_processes_read_half_each(run: Path, tmp_path: Path, ranks: Ranks) -> None:
    ranks.run(train, tmp_path / "other")
    expected, num_values = averaged([run, tmp_path / "other"])
    for mean, num_read in ranks.run(averaged, [run, tmp_path / "other"]):
        assert mean.keys() == expected.keys()
        assert all(torch.equal(mean[name], expected[name]) for name in mean)
        assert num_read < 0.6 * num_values


def saved_while_changing(path: Path) -> None:
    mesh = init_device_mesh("cpu", (2,))
    value = distributed.ones(1000, 10, device_mesh=mesh, placements=[Shard(0)])
    saver = ShardedSaver(is_async=True)
    saver.save({"model/x": value}, {"optimizer_groups": [], "step": 1}, path / "a.ckpt")
    value.to_local().add_(1)  # training continues
    saver.save({"model/x": value}, {"optimizer_groups": [], "step": 2}, path / "b.ckpt")
    value.to_local().add_(1)
    saver.close()
    dist.barrier()


def test_an_asynchronous_save_has_the_values_of_its_moment(tmp_path: Path, ranks: Ranks) -> None:
    ranks.run(saved_while_changing, tmp_path)
    for name, expected in (("a", 1), ("b", 2)):
        source = WeightSource(tmp_path / f"{name}.ckpt", "raw")
        assert source["x"].unique().tolist() == [expected]
        assert source["x"].shape == (1000, 10) == source.shape("x")
