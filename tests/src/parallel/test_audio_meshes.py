"""The audio model over context and tensor parallelism against one process: video, text and known audio."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from src.flow.noise import torch_generator
from src.parallel import tensor_parallel
from src.parallel.fsdp import copy_full_, full_tensor
from src.parallel.mesh import ProcessMesh
from src.training.modules.audio import AudioModule
from tests.fixtures.mesh_runs import MESHES, largest_difference, process_mesh, relative_difference
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_audio import audio_module, make_batch
from tests.fixtures.toy_modules import train_config


class MeshAudio(AudioModule):
    """An audio module over a given mesh."""

    mesh: ProcessMesh | None = None

    @property
    def _mesh(self) -> ProcessMesh | None:
        return self.mesh


def build_audio(name: str, aligned_features: str, video_latent_weight: float) -> MeshAudio:
    """Return a module over a mesh whose weights are a function of their names."""
    parallel = {"accelerator": "cpu", **MESHES[name]}
    config = train_config(ema_decay=0.0)
    plain = audio_module(config, video_latent_weight=video_latent_weight)
    module = MeshAudio(
        replace(plain.transformer_config, aligned_features=aligned_features, depth=2),
        plain.conditioning.text,
        plain.video_config,
        plain.flow_config,
        replace(config, parallel=replace(config.parallel, **parallel)),
        plain.latent_rate,
    )
    module.mesh = process_mesh(name)
    module.configure_model()
    with torch.no_grad():
        for key, param in module.named_parameters():
            noise = torch.randn(param.shape, generator=torch_generator(0, key))
            copy_full_(param, full_tensor(param.detach()) + 0.1 * noise)
    return module.train()


def loss_and_gradients(name: str, aligned_features: str, video_latent_weight: float) -> dict[str, Tensor]:
    """Return each sample's loss and the gradients of all networks; 12 tokens, or 24 with features between."""
    module = build_audio(name, aligned_features, video_latent_weight)
    loss_B = module.training_loss(make_batch(3))
    loss_B.mean().backward()
    found = {n: p for n, p in module.named_parameters() if p.grad is not None}
    tensor_parallel.sum_gradients(found.values())
    return {"loss": loss_B.detach()} | {n: full_tensor(p.grad) for n, p in found.items()}  # type: ignore[arg-type]


@pytest.mark.parametrize("mesh", ["cp2", "tp2"])
@pytest.mark.parametrize(("aligned_features", "weight"), [("add", 0.3), ("concatenate", 0.0)])
def test_losses_and_gradients(mesh: str, aligned_features: str, weight: float, ranks: Ranks) -> None:
    theirs = loss_and_gradients("one", aligned_features, weight)
    for ours in ranks.run(loss_and_gradients, mesh, aligned_features, weight):
        assert relative_difference(ours["loss"], theirs["loss"]) < 1e-6
        assert largest_difference(ours, theirs) < (1e-5, "")
    networks = {name.split(".")[0] for name in theirs}
    assert networks == {"loss", "text", "transformer", "video"}


def loss_with_moved_features(name: str) -> Tensor:
    """Return the losses where the second process reads the features of other tokens."""
    module = build_audio(name, "add", 0.0)
    assert module.mesh is not None
    rank = module.mesh.tokens.get_local_rank()
    module.video.register_forward_hook(lambda net, args, out: (out[0].roll(rank, 1), *out[1:]))
    return module.training_loss(make_batch(3)).detach()


def test_features_of_other_tokens_are_noticed(ranks: Ranks) -> None:
    broken = ranks.run(loss_with_moved_features, "cp2")[0]
    assert relative_difference(broken, loss_and_gradients("one", "add", 0.0)["loss"]) > 1e-4
