"""A CLIP image tower from a local directory, with random weights."""

from pathlib import Path

import pytest
import torch

from src.models.vision.config import FrozenVisionConfig
from src.models.vision.frozen_tower import FrozenTower

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tower")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPVisionConfig(**sizes, image_size=16, patch_size=8, projection_dim=6)
    torch.manual_seed(0)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(path)
    return path


def test_each_frame_has_the_features_that_the_published_code_gives(folder: Path) -> None:
    tower = FrozenTower(FrozenVisionConfig(path=str(folder), dim=6))
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=generator)
    found = tower.encode(frames)
    size = {"height": 16, "width": 16}
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=size)
    pixels = processor(list(frames.permute(0, 2, 3, 1).numpy()), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        torch.testing.assert_close(found, tower.model(pixel_values=pixels).image_embeds, rtol=1e-3, atol=1e-4)
    wide = torch.cat([frames, frames, frames], 3)  # the center is kept
    torch.testing.assert_close(tower.encode(wide), found)


def test_what_is_no_tower_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"vision.path=nowhere: not a checkpoint"):
        FrozenTower(FrozenVisionConfig(path="nowhere"))
    with pytest.raises(ValueError, match=r"vision.dim=1024: .* has 6 features"):
        FrozenTower(FrozenVisionConfig(path=str(folder)))
