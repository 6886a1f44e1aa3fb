"""Inflation of an image autoencoder to a video autoencoder."""

import pytest
import torch

from src.models.tae.config import TAEConfig
from src.models.tae.inflate import inflate
from src.models.tae.model import TAE

SIZES = {"channels": (8, 16, 16), "spatial_down": (2, 2), "num_blocks": 1, "num_norm_groups": 4}


def build(structure: str, **kwargs: object) -> TAE:
    down = (1, 1) if structure == "frame" else (2, 2)
    model = TAE(TAEConfig(structure=structure, temporal_down=down, **{**SIZES, **kwargs}))
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return model.eval()


@pytest.mark.parametrize("structure", ["2.5d", "3d"])
@pytest.mark.parametrize("every", ["conv", "block"])
def test_inflated_model_equals_the_image_model_on_single_frames(structure: str, every: str) -> None:
    torch.manual_seed(0)
    image, video = build("frame"), build(structure, temporal_every=every)
    with torch.no_grad():
        for p in image.parameters():
            p.add_(0.1 * torch.randn_like(p))
        x = torch.rand(2, 3, 1, 16, 24) * 2 - 1
        assert not torch.allclose(video(x).video_BCTHW, image(x).video_BCTHW, atol=1e-2)
        video.load_state_dict(inflate(image.state_dict(), video.state_dict()))
        ours, theirs = video(x), image(x)
    torch.testing.assert_close(ours.posterior.mode(), theirs.posterior.mode(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.video_BCTHW, theirs.video_BCTHW, rtol=1e-4, atol=1e-5)


def test_layers_missing_in_the_image_model_are_left_out() -> None:
    image, video = build("frame"), build("2.5d", num_blocks=2)
    found = inflate(image.state_dict(), video.state_dict())
    missing = [n for n in video.state_dict() if n not in found]
    assert missing
    assert all(".levels." in n for n in missing)
