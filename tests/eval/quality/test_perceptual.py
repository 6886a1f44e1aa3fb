"""LPIPS and DISTS with backbones by path."""

import socket
from importlib import resources

import numpy as np
import pytest
import torch
import torchvision

from eval.backbones.checksummed_weights import Network
from eval.backbones.config import WeightsConfig
from eval.core.manifest import Sample
from eval.core.results import Item
from eval.core.video import write_video
from eval.quality.perceptual import Perceptual
from tests.fixtures.network_checkpoints import save_torchvision
from tests.fixtures.videos import waves


def perceptual(name, path):
    role = "alexnet" if name == "lpips_alex" else "vgg16"
    return Perceptual(name, Network(role, WeightsConfig(path=str(path))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    for name, seed in (("a", 0), ("b", 1)):
        write_video(root / f"{name}.mp4", waves(seed, num=5, side=64), 8, crf=0)
    write_video(root / "short.mp4", waves(0, num=3, side=64), 8)
    return root


def pair(folder, video, reference):
    return Item(Sample(id="x", prompt="", video=f"{video}.mp4", reference=f"{reference}.mp4"), folder)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("accessed the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def lpips_by_definition(state, generated_THWC, reference_THWC):
    """Zhang et al. 2018: differences of unit features, weighted, mean over positions, summed over layers."""
    net = torchvision.models.alexnet(weights=None)
    net.load_state_dict(state)
    file = resources.files("torchmetrics.functional.image") / "lpips_models" / "alex.pth"
    heads = torch.load(str(file), map_location="cpu", weights_only=True)
    shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
    scale = torch.tensor([0.458, 0.448, 0.450])[:, None, None]
    videos = []
    for video in (generated_THWC, reference_THWC):
        h = (torch.tensor(video / 127.5 - 1).permute(0, 3, 1, 2).float() - shift) / scale
        videos.append([])
        for number, layer in enumerate(net.features, 1):
            h = layer(h.clone())
            if number in (2, 5, 8, 10, 12):
                videos[-1].append(h / (h.square().sum(1, keepdim=True) + 1e-8).sqrt())
    total = 0
    for depth, (a, b) in enumerate(zip(*videos, strict=True)):
        total += ((a - b) ** 2 * heads[f"lin{depth}.model.1.weight"]).sum(1).mean((1, 2))
    return float(total.mean())


def test_lpips_is_lpips(tmp_path, folder):
    path = save_torchvision("alexnet", tmp_path / "alexnet.pth")
    metric, item = perceptual("lpips_alex", path), pair(folder, "a", "b")
    found = metric.measure(item).values["lpips_alex"]
    state = torch.load(path, weights_only=True)
    with torch.inference_mode():
        expected = lpips_by_definition(state, item.video.frames_THWC, item.reference_video.frames_THWC)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found > 0.001
    assert metric.measure(pair(folder, "a", "a")).values["lpips_alex"] == 0
    with pytest.raises(ValueError, match="differ in length: 5 frames at 8 per second and 3 frames"):
        metric.measure(pair(folder, "a", "short"))
    with pytest.raises(ValueError, match="does not fit vgg16"):
        perceptual("lpips_vgg", path).measure(item)
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match="is not a state dict"):
        perceptual("dists", tmp_path / "text").measure(item)


def test_dists_and_lpips_read_the_vgg_they_are_given(tmp_path, folder, monkeypatch):
    before = torch.hub.get_dir()
    path = save_torchvision("vgg16", tmp_path / "vgg16.pth")
    item = pair(folder, "a", "b")
    metrics = {name: perceptual(name, path) for name in ("dists", "lpips_vgg")}
    found = {name: metric.measure(item).values[name] for name, metric in metrics.items()}
    assert torch.hub.get_dir() == before
    same = metrics["dists"].measure(pair(folder, "a", "a")).values["dists"]
    assert same == pytest.approx(0, abs=1e-5)
    from torchmetrics.functional.image import dists as module

    def given(weights=None):
        net = torchvision.models.vgg16(weights=None)
        net.load_state_dict(torch.load(path, weights_only=True))
        return net

    monkeypatch.setattr(module, "vgg16", given)
    videos = (item.video.frames_THWC, item.reference_video.frames_THWC)
    pixels = [torch.tensor(video / 255).permute(0, 3, 1, 2).float() for video in videos]
    with torch.inference_mode():
        expected = module.DISTSNetwork()(*pixels).mean()
    assert found["dists"] == pytest.approx(float(expected), abs=1e-5)
    assert found["dists"] > 0.001
    assert np.isfinite(found["lpips_vgg"])
    assert found["lpips_vgg"] > 0
