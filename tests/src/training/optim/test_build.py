"""Parameter groups of the optimizer over the real networks."""

import re

import pytest

from src.models.config import DiscriminatorConfig
from src.models.tae.config import TAEConfig
from src.models.text.config import ByteEncoderConfig, FrozenTextConfig
from src.models.transformer.config import TransformerConfig
from src.training.modules.base import TrainingModule
from src.training.modules.tae import TAEModule
from src.training.modules.tae_config import TAELossConfig
from src.training.modules.video import VideoModule
from src.training.modules.video_config import VideoFlowConfig
from tests.fixtures.toy_modules import train_config

# Every parameter without weight decay is a bias or one of these.
NORMS = r"(.*\.)?(norm|norm1|norm2|norm_out|query_norm|key_norm|word_norm|norms\.\w+)\.weight"
TABLES = r"symbol_embed|pos_embed(\.(time|height|width))?|null|(.*\.)?(final_)?modulation\.table_KD"
PLAIN = re.compile(rf"(.*\.)?bias|{NORMS}|{TABLES}")


def video(**frozen: FrozenTextConfig) -> VideoModule:
    config = TransformerConfig(
        hidden_size=32, depth=1, num_heads=2, ffn_dim=32, time_dim=16, latent_channels=4, context_dim=16,
        cond_channels=5, qk_norm=True, bias=True,
    )  # fmt: skip
    text = ByteEncoderConfig(hidden_size=16, depth=1, num_heads=2, ffn_dim=16)
    return VideoModule(config, text, VideoFlowConfig(), train_config(ema_decay=0.0), frozen)


def tae(optimizer: str, structure: str = "2.5d", norm: str = "group") -> TAEModule:
    sizes = {"channels": (32, 32), "spatial_down": (2,), "temporal_down": (2,)}
    config = TAEConfig(**sizes, structure=structure, norm=norm)  # type: ignore[arg-type]
    train = train_config(ema_decay=0.0, optimizer=optimizer)
    return TAEModule(config, TAELossConfig(gan_weight=1.0), train, DiscriminatorConfig(base_channels=4))


@pytest.mark.parametrize(
    ("module", "nets"),
    [
        (video(), ("text", "transformer")),
        (video(t5=FrozenTextConfig(dim=8)), ("text", "transformer")),
        (tae("adamw"), ("tae", "discriminator")),
        (tae("muon"), ("tae", "discriminator")),
        (tae("adamw", "3d", "rms"), ("tae",)),
    ],
    ids=["byte text", "frozen text", "tae", "muon", "3d"],
)
def test_only_linear_and_convolution_weights_decay(module: TrainingModule, nets: tuple[str, ...]) -> None:
    module.configure_model()
    groups = module.make_optimizer(*nets).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    named = [(name, p) for net in nets for name, p in module.network(net).named_parameters()]
    assert decay.keys() == {id(p) for _, p in named}
    assert sum(len(group["params"]) for group in groups) == len(named)
    for name, p in named:
        assert decay[id(p)] == (0.0 if PLAIN.fullmatch(name) else 0.1), name
        assert PLAIN.fullmatch(name) or (name.endswith(".weight") and p.dim() >= 2), name
