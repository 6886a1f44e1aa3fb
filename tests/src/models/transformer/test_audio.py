"""The transformer on latents of audio: rotary positions, features of another medium, the paper's sizes."""

from pathlib import Path

import pytest
import torch

from src.core import config
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.parallel.meta_init import initialize
from src.runs.audio_config import AudioRunConfig

ROOT = Path(__file__).parents[4]
SIZES = {"hidden_size": 16, "depth": 2, "num_heads": 2, "ffn_dim": 32, "time_dim": 16, "context_dim": 8}


def make_model(**changes: object) -> MediaTransformer:
    settings = {"patch": (1, 1, 1), "max_positions": (6, 1, 1), "latent_channels": 3, "initial_gate": 1.0}
    model = MediaTransformer(TransformerConfig(**(SIZES | settings | changes)))  # type: ignore[arg-type]
    initialize(model, 0)
    with torch.no_grad():
        for number, p in enumerate(model.parameters()):
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(number)))
    return model


def inputs(length: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 3, length, 1, 1, generator=generator)
    return x, torch.tensor([0.2, 0.7]), torch.randn(2, 4, 8, generator=generator)


def test_rotary_positions_order_the_tokens_and_have_no_length_limit() -> None:
    model = make_model(positions="rotary")
    assert not any("pos_embed" in name for name in model.state_dict())
    x, t, text = inputs(9)
    out = model(x, t, text)
    flipped = model(x.flip(2), t, text).flip(2)
    assert not torch.allclose(out, flipped, atol=1e-3)  # without positions the two would be equal
    packed = model.forward_packed([x[0], x[1, :, :4]], t, text)
    torch.testing.assert_close(packed[0], out[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(packed[1], model(x[1:, :, :4], t[1:], text[1:])[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"positions=rotary is for latents of one row and column"):
        TransformerConfig(positions="rotary", max_positions=(6, 2, 1))


def test_learned_positions_end_with_their_table() -> None:
    with pytest.raises(ValueError, match=r"max_positions\[T\] is 6, the latent needs 9"):
        make_model(positions="every")(*inputs(9))


@pytest.mark.parametrize("positions", ["every", "rotary"])
def test_features_of_another_medium_are_added_or_concatenated(positions: str) -> None:
    x, t, text = inputs()
    aligned = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(6))
    added = make_model(positions=positions)
    with torch.no_grad():
        plain = added(x, t, text)
        assert torch.equal(added(x, t, text, aligned_BND=torch.zeros_like(aligned)), plain)
        assert not torch.allclose(added(x, t, text, aligned_BND=aligned), plain, atol=1e-3)
    joined = make_model(positions=positions, aligned_features="concatenate")
    with torch.no_grad():
        out = joined(x, t, text, aligned_BND=aligned)
    assert out.shape == plain.shape
    assert not torch.allclose(out, added(x, t, text, aligned_BND=aligned), atol=1e-3)
    # a feature acts where it is: changed at the last token, it changes the last output most
    changed = aligned.clone()
    changed[:, -1] += 5.0
    with torch.no_grad():
        effect = (added(x, t, text, aligned_BND=changed) - added(x, t, text, aligned_BND=aligned)).abs()
    assert effect.mean((0, 1, 3, 4)).argmax() == 5


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("audio", 12.2e9, 12.4e9),
        ("audio_9b", 8.8e9, 9.2e9),
        ("audio_3b", 2.9e9, 3.1e9),
        ("audio_300m", 0.29e9, 0.32e9),
    ],
)
def test_parameters_in_the_blocks_of_the_papers_sizes(name: str, low: float, high: float) -> None:
    stage = config.load(AudioRunConfig, ROOT / f"configs/paper/{name}.yaml")
    with torch.device("meta"):
        model = MediaTransformer(stage.transformer)
    assert low < sum(p.numel() for p in model.blocks.parameters()) < high
    assert stage.transformer.hidden_size == 128 * stage.transformer.num_heads
