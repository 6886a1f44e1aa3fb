"""Blocks compiled in place, sharded over two processes, through the trainer."""

import warnings
from pathlib import Path

import pytest
import torch

from src.training.checkpoint_paths import last_checkpoint
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, state_of, train_config, two_processes, video_module


def train(run_dir: Path, compiled: bool) -> int:
    """Train one step; return the number of compiled blocks."""
    # Dynamo itself reads the gradients of what it traces.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
    parallel = two_processes(compile_blocks=compiled, compile_backend="aot_eager")
    config = train_config(max_steps=1, val_every=0, parallel=parallel)
    module = video_module(config)
    fit(module, ToyData(1), config, run_dir)
    return sum(block._compiled_call_impl is not None for block in module.transformer.blocks)


@pytest.mark.long
def test_one_step(tmp_path: Path, ranks: Ranks) -> None:
    states = []
    for compiled in (False, True):
        run_dir = tmp_path / str(compiled)
        assert ranks.run(train, run_dir, compiled, timeout_s=500) == [2 * compiled] * 2
        path = last_checkpoint(run_dir)
        assert path is not None
        states.append(state_of(path))
    plain, found = states
    assert found.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5, msg=name)
