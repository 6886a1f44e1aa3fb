"""Weights are a function of (seed, path): the same built at once, on the meta device, or sharded."""

import pytest
import torch
from torch import nn

from src.models.tae.config import TAEConfig
from src.models.tae.model import TAE
from src.models.text.byte_encoder import ByteEncoder
from src.models.text.config import ByteEncoderConfig
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer
from src.parallel.build import build_network
from src.parallel.fsdp import ParallelContext, full_tensor
from src.parallel.meta_init import initialize
from tests.fixtures.ranks import Ranks

FACTORIES = {
    "transformer": lambda: MediaTransformer(
        TransformerConfig(hidden_size=32, depth=2, num_heads=2, ffn_dim=32)
    ),
    "layer-norm transformer": lambda: MediaTransformer(
        TransformerConfig(
            hidden_size=32, depth=1, num_heads=2, ffn_dim=32, norm="layer", ffn_kind="gelu", bias=True
        )
    ),
    "text": lambda: ByteEncoder(ByteEncoderConfig(hidden_size=16, depth=1, num_heads=2, ffn_dim=16)),
    "tae": lambda: TAE(TAEConfig(channels=(8, 8, 16, 16), latent_channels=4)),
}


def sharded_weights(name: str) -> dict[str, torch.Tensor]:
    from torch.distributed.device_mesh import init_device_mesh

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    net = build_network(FACTORIES[name], 5, ParallelContext(mesh=init_device_mesh("cpu", (2,))))
    assert all(p.to_local().numel() < p.numel() or p.shape[0] == 1 for p in net.parameters() if p.numel() > 1)
    return {k: full_tensor(v.detach()).clone() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("name", FACTORIES)
def test_sharded_from_the_meta_device_equals_one_process(name: str, ranks: Ranks) -> None:
    net = build_network(FACTORIES[name], 5, ParallelContext())
    for sharded in ranks.run(sharded_weights, name):
        assert sharded.keys() == net.state_dict().keys()
        for key, value in net.state_dict().items():
            assert torch.isfinite(value).all(), key
            assert torch.equal(sharded[key], value), key


@pytest.mark.parametrize("name", FACTORIES)
def test_depends_on_the_seed_only(name: str) -> None:
    torch.manual_seed(1)
    first = build_network(FACTORIES[name], 5, ParallelContext())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    again, other = (build_network(FACTORIES[name], seed, ParallelContext()) for seed in (5, 6))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    torch.set_rng_state(before)


class WithoutReset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))


def test_module_without_reset_parameters() -> None:
    with pytest.raises(ValueError, match=r"inner: WithoutReset owns parameters .* no reset_parameters"):
        initialize(nn.ModuleDict({"inner": WithoutReset()}), 0)
