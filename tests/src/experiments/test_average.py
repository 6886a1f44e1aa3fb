"""Averages of runs: the mean of the weights, and validation without a trainer."""

from pathlib import Path

import pytest
import torch

from src import train
from src.core.errors import UserError
from src.experiments.average import average_weights, validation
from src.parallel import checkpoint_io
from src.parallel.checkpoint_io import CheckpointError
from src.streaming.schema.bucket import Bucket
from src.training.checkpoint_paths import find_checkpoint
from tests.fixtures.toy_data import write_latents
from tests.src.experiments.test_video import STAGE

VALIDATION = ["data.val.images.path=one/val", "data.val.images.batch_size=3", "train.val_every=1"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short runs of one architecture, validated, and one of another."""
    root = tmp_path_factory.mktemp("average")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        Path("stage.yaml").write_text(STAGE)
        for split, num_records in (("train", 4), ("val", 5)):
            write_latents(Path("one", split), {Bucket(1, 16, 16): num_records})
        train.main(["stage.yaml", "run_dir=a", *VALIDATION])
        train.main(["stage.yaml", "run_dir=b", *VALIDATION, "train.seed=4"])
        train.main(["stage.yaml", "run_dir=wide", "transformer.ffn_dim=32"])
    return root


@pytest.fixture(autouse=True)
def _inside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def test_average_is_the_uniform_mean() -> None:
    a, b = (checkpoint_io.read_checkpoint(find_checkpoint(Path(run)))["state_dict"] for run in "ab")
    mean, raw = (average_weights([Path("a"), Path("b")], use) for use in ("ema", "raw"))
    name = "transformer.patch_embed.weight"
    torch.testing.assert_close(mean[name], (a[f"ema.{name}"] + b[f"ema.{name}"]) / 2)
    torch.testing.assert_close(raw[name], (a[name] + b[name]) / 2)
    with pytest.raises(CheckpointError, match="architecture mismatch"):
        average_weights([Path("a"), Path("wide")])


def test_validation_equals_that_of_training() -> None:
    stored = checkpoint_io.read_entry(find_checkpoint(Path("a")), "val_metrics", {})
    assert "val/loss_images" in stored
    assert len(stored) > 3  # the times
    ours = validation(average_weights([Path("a")]), Path("a"))
    assert ours == pytest.approx(stored, abs=1e-6)
    assert validation(average_weights([Path("b")]), Path("a")) != pytest.approx(stored, abs=1e-6)
    with pytest.raises(UserError, match=r"wide: has no validation data"):
        validation(average_weights([Path("wide")]), Path("wide"))
