"""The audio module on two gloo ranks against one process."""

from pathlib import Path

import pytest

from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_audio import ToyAudioData, audio_module
from tests.fixtures.toy_modules import train_config, two_processes
from tests.src.training.test_two_processes import assert_close, final


def train(run_dir: Path, processes: int = 1) -> None:
    parallel = {"parallel": two_processes()} if processes == 2 else {}
    config = train_config(max_steps=3, val_every=3, checkpoint_every=3, **parallel)
    module = audio_module(config, video_latent_weight=0.3, frame_augmentation="flips")
    fit(module, ToyAudioData(config.max_steps), config, run_dir)


def test_two_ranks_equal_one_process(ranks: Ranks, tmp_path: Path) -> None:
    train(tmp_path / "one")
    ranks.run(train, tmp_path / "two", 2)
    ours, theirs = (read_metrics(tmp_path / run / METRICS_FILE) for run in ("one", "two"))
    for a, b in zip(ours, theirs, strict=True):
        # other clips' videos come from this rank's part of the batch: modes with them differ
        for name in set(a) & {"train/loss", "train/grad_norm", "val/loss_v2a", "val/loss_t2a"}:
            assert a[name] == pytest.approx(b[name], rel=1e-5), (name, a["step"])
    weights = final(tmp_path / "one")
    assert any(name.startswith("ema.video.") for name in weights)
    assert_close(weights, final(tmp_path / "two"))
