"""Runs of random weights that can generate, made without training."""

from pathlib import Path

import torch

from src import config
from src.experiments import video
from src.rng import generator
from tests.src.test_reconstruct import save_run

VIDEO = """
experiment: video
name: toy
latents: gone
transformer: {width: 32, layers: 2, heads: 2, ffn: 32, time_dim: 16, max_positions: [4, 4, 4],
  latent_channels: 4, context_dim: 16}
text: {width: 16, layers: 1, heads: 2, ffn: 16}
data: {streams: {videos: {path: gone/train, batch_size: 4}}}
"""


def write_toy_runs(root: Path) -> None:
    """`root/video`, whose velocity is not zero, and `root/tae`, which decodes its latents."""
    save_run(root / "tae")
    (root / "toy.yaml").write_text(VIDEO)
    settings = config.load(video.Config, root / "toy.yaml")
    module = video.build_module(settings)
    module.configure_model()
    with torch.no_grad():
        for number, parameter in enumerate(module.transformer.parameters()):
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator(0, "toy", number))
    folder = root / "video"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text(config.to_yaml(settings))
    state = {k: v for k, v in module.state_dict().items() if not k.startswith("ema.")}
    torch.save({"state_dict": state}, folder / "checkpoints" / "step-00000001.ckpt")
