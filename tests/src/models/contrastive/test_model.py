"""The contrastive model: unit vectors, and what they depend on."""

import pytest
import torch

from src.models.contrastive.config import ContrastiveConfig
from src.models.contrastive.model import PAIRS, ContrastiveModel
from src.models.text.config import ByteEncoderConfig
from src.models.vision.config import VideoConditionConfig

CONFIG = ContrastiveConfig(
    latent_channels=2, hidden_size=16, num_audio_blocks=1, joint_dim=8, num_segments=4,
    text=ByteEncoderConfig(hidden_size=16, depth=1, num_heads=2, ffn_dim=16),
    video=VideoConditionConfig(height=16, width=16, channels=4, hidden_size=8, num_temporal_blocks=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> ContrastiveModel:
    torch.manual_seed(0)
    return ContrastiveModel(CONFIG).eval()


@torch.no_grad()
def test_features_are_unit_vectors_of_any_length(model: ContrastiveModel) -> None:
    for num_latents, num_frames in ((12, 6), (75, 48), (3, 2)):
        timed, clip = model.encode_audio(torch.randn(3, 2, num_latents))
        assert timed.shape == (3, 4 * 8)
        assert clip.shape == (3, 8)
        both = (timed, clip, *model.encode_video(torch.rand(3, num_frames, 3, 16, 16) * 2 - 1))
        for each in (*both, model.encode_text(["a", "a longer text", ""])):
            assert torch.allclose(each.norm(dim=1), torch.ones(3), atol=1e-5)


@torch.no_grad()
def test_order_in_time_matters_between_audio_and_video_only(model: ContrastiveModel) -> None:
    latent_BCL = torch.zeros(1, 2, 16)
    latent_BCL[..., 1] = 3.0
    timed, clip = model.encode_audio(latent_BCL)
    later, later_clip = model.encode_audio(latent_BCL.roll(8, 2))
    assert float(timed @ later.T) < 0.999
    assert torch.allclose(clip, later_clip, atol=0.05)


@torch.no_grad()
def test_texts_of_a_batch_do_not_change_each_other(model: ContrastiveModel) -> None:
    alone = model.encode_text(["a ball"])
    assert torch.allclose(
        model.encode_text(["a ball", "a much longer text about a ball"])[:1], alone, atol=1e-5
    )


@torch.no_grad()
def test_similarities_are_of_every_pair(model: ContrastiveModel) -> None:
    found = model.similarities(torch.randn(3, 2, 12), torch.rand(3, 6, 3, 16, 16), ["a", "b", "c"])
    assert tuple(found) == PAIRS
    assert all(each.shape == (3, 3) and each.abs().max() <= 1 + 1e-5 for each in found.values())
    assert model.scales().tolist() == pytest.approx([1 / 0.07] * 3)
    model.log_scale.add_(100.0)
    assert model.scales().tolist() == [100.0] * 3
    model.reset_parameters()


def test_a_model_without_frames_is_refused() -> None:
    with pytest.raises(ValueError, match="encodes frames"):
        ContrastiveConfig(video=VideoConditionConfig(source="features"))
