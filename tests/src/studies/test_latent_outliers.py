"""Latent outliers: counts agree with the penalty, the plot, errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src import train
from src.core import config
from src.core.errors import UserError
from src.losses.latent import outlier_fraction
from src.models.tae.config import TAEConfig
from src.runs import loading
from src.streaming.reader import Dataset
from src.streaming.schema.bucket import Bucket
from src.studies import latent_outliers
from tests.fixtures.toy_data import write_latents, write_pixels
from tests.fixtures.toy_runs import write_toy_tae

SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "studies" / "latent_outliers.yaml"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("outliers")
    write_toy_tae(root / "run")
    write_pixels(root / "data", {(8, 32, 32): 3, (1, 30, 32): 5})
    return root


def measure(root: Path, *overrides: str) -> dict:
    args = [str(SHIPPED), f"tae={root / 'run'}", f"data={root / 'data'}"]
    train.main([*args, "beyond=[1,1.5,30]", *overrides])
    return json.loads((root / "run" / "latent_outliers" / "latent_outliers.json").read_text())


def test_fractions_are_those_of_the_penalty(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measure(root, "num_videos=6")
    assert found["num_videos"] == 6
    tae, _ = loading.load_tae(root / "run")
    dataset, latents = Dataset(root / "data"), []
    for bucket in dataset.readers:
        for index in range(3):
            video = dataset.pixels(bucket, index).video_TCHW.transpose(0, 1)[None].float() / 127.5 - 1
            video = torch.nn.functional.pad(video, (0, 0, 0, -video.shape[3] % 8, 0, 0), mode="replicate")
            latents.append(tae.encode(video).mean_BCTHW)
    assert found["num_positions"] == sum(x[:, 0].numel() for x in latents)
    for r in (1.0, 1.5):
        counts = [float(outlier_fraction(x, r)) * x[:, 0].numel() for x in latents]
        assert found["beyond"][f"{r:g}"] == pytest.approx(sum(counts) / found["num_positions"])
    assert 0 < found["beyond"]["1.5"] < found["beyond"]["1"]
    assert found["beyond"]["30"] == 0
    assert "positions beyond r deviations: r = 1: " in capsys.readouterr().out
    image = np.asarray(Image.open(root / "run" / "latent_outliers" / "latent_outliers.png"))
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 100  # frames, maps, a curve


def test_a_spot_is_found_at_its_position() -> None:
    class OneSpot(torch.nn.Module):
        """An autoencoder whose latent is noise with one outlier."""

        config = TAEConfig()

        def encode(self, video: torch.Tensor) -> object:
            latent = torch.randn(1, 16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
            latent[:, :, 0, 2, 5] += 40
            return type("Posterior", (), {"mean_BCTHW": latent, "logvar_BCTHW": latent})()

    video = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    result = latent_outliers.measure(OneSpot(), "spot", video, latent_outliers.TilingConfig())  # type: ignore[arg-type]
    assert result.distance_THW.shape == (1, 8, 8)
    assert int(result.distance_THW.argmax()) == 2 * 8 + 5
    assert int((result.distance_THW > 3).sum()) == 1


def test_errors_name_the_setting(root: Path) -> None:
    write_latents(root / "latents", {Bucket(1, 8, 8): 1})
    with pytest.raises(UserError, match="holds latents, expected pixels"):
        measure(root, f"data={root / 'latents'}")
    with pytest.raises(config.ConfigError, match="beyond must be more than 0"):
        measure(root, "beyond=[0]")
