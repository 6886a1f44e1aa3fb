"""One run over several meshes, in both checkpoint formats, has the weights of one process without a stop."""

from pathlib import Path

import pytest
import torch

from src.parallel import checkpoint_io
from src.parallel.config import ParallelConfig
from src.training.checkpoint_paths import last_checkpoint
from src.training.trainer import fit
from tests.fixtures.mesh_runs import MESHES
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, state_of, train_config, video_module


def train(run_dir: Path, mesh: str, steps: int, sharded: bool = False) -> int:
    """Train to a step; return the one it resumed at."""
    parallel = ParallelConfig(accelerator="cpu", sharded_checkpoint=sharded, **MESHES[mesh])  # type: ignore[arg-type]
    config = train_config(max_steps=steps, val_every=0, checkpoint_every=20, parallel=parallel, lr=1e-3)
    return fit(video_module(config), ToyData(8), config, run_dir).resumed_at


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    path = tmp_path_factory.mktemp("one")
    train(path, "one", 6)
    return final(path)


def final(run_dir: Path) -> dict[str, torch.Tensor]:
    path = last_checkpoint(run_dir)
    assert path is not None
    return state_of(path)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [True, False], ids=["sharded", "gathered"])
def test_from_fsdp_to_tensor_and_context_parallelism_to_one_process(
    sharded: bool, tmp_path: Path, four_ranks: Ranks, uninterrupted: dict[str, torch.Tensor]
) -> None:
    assert four_ranks.run(train, tmp_path, "fsdp4", 2, sharded) == [0] * 4
    assert four_ranks.run(train, tmp_path, "tp2xcp2", 4, sharded) == [2] * 4
    path = last_checkpoint(tmp_path)
    assert path is not None
    assert checkpoint_io.is_sharded(path) == sharded
    assert train(tmp_path, "one", 6) == 4
    found = final(tmp_path)
    assert found.keys() == uninterrupted.keys()
    for name, value in uninterrupted.items():
        torch.testing.assert_close(found[name], value, rtol=2e-4, atol=2e-4, msg=name)


@pytest.mark.slow
def test_from_one_process_to_copies_and_cut_weights(
    tmp_path: Path, four_ranks: Ranks, uninterrupted: dict[str, torch.Tensor]
) -> None:
    assert train(tmp_path, "one", 2) == 0
    assert four_ranks.run(train, tmp_path, "tp2xfsdp2", 4, True) == [2] * 4
    assert four_ranks.run(train, tmp_path, "hsdp2x2", 6, True) == [4] * 4
    found = final(tmp_path)
    for name, value in uninterrupted.items():
        torch.testing.assert_close(found[name], value, rtol=2e-4, atol=2e-4, msg=name)
