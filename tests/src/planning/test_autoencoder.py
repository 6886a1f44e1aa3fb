"""Plans of TAE and codec: memory of a step without values is that of a real one, and meshes are compared."""

from pathlib import Path

import pytest
import torch

from src import plan
from src.core import cli, config
from src.planning import fake_step
from src.planning.live_bytes import LiveBytes
from src.runs.config import CodecRunConfig, TAERunConfig

pytestmark = pytest.mark.long
TAE = """
experiment: tae
name: toy
model: {channels: [8, 16, 16, 16], latent_channels: 4, num_blocks: 1, num_norm_groups: 4}
losses: {gan_weight: 0.5, gan_start: 3}
discriminator: {kind: 3d, base_channels: 8, num_layers: 2}
data: {streams: {videos: {crop: 32, lengths: [8], batch_size: 64}, images: {media: images, crop: 32,
  batch_size: 64}}}
train: {max_steps: 1000}
"""
CODEC = """
experiment: codec
name: toy_codec
model: {latent_channels: 8, dac: {encoder_channels: 4, hidden_channels: 32, decoder_channels: 32}}
losses: {mel_windows: [256, 1024], mel_bands: [20, 80]}
discriminator: {periods: [2, 5], windows: [512], period_channels: 2, stft_channels: 2}
data: {streams: {audio: {lengths: [9600], batch_size: 16}}}
train: {max_steps: 1000}
"""


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TAERunConfig, CodecRunConfig]:
    monkeypatch.chdir(tmp_path)
    Path("tae.yaml").write_text(TAE)
    Path("codec.yaml").write_text(CODEC)
    return config.load(TAERunConfig, "tae.yaml"), config.load(CodecRunConfig, "codec.yaml")


def real_step(stage: fake_step.AutoencoderRunConfig, size: tuple[int, ...], num_samples: int) -> int:
    """Return the peak of live bytes of a real step, without weights."""
    module = fake_step._module(stage, None)
    module.configure_model()
    module._step = step = max(stage.losses.gan_start, 1)
    batch = fake_step._batch(stage, size, num_samples, step)
    with LiveBytes([*module.parameters(), *module.buffers()]) as live:
        before = live.live()
        module.train()
        module.training_step(batch, step)
    return live.peak - before


def test_a_step_without_values_has_the_memory_of_a_real_one(
    stages: tuple[TAERunConfig, CodecRunConfig],
) -> None:
    torch.manual_seed(0)
    for stage, size in zip(stages, ((8, 32, 32), (9600,)), strict=True):
        one, two = (fake_step.fake_step(stage, size, count) for count in (1, 2))
        assert one.peak_bytes == pytest.approx(real_step(stage, size, 1), rel=0.02)
        assert 1.2 < two.peak_bytes / one.peak_bytes < 2.1
        assert two.flops / one.flops == pytest.approx(2.0, rel=0.1)
        assert one.params > 1000


def test_meshes_are_printed(
    stages: tuple[TAERunConfig, CodecRunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(plan.main, ["tae.yaml", "gpus=4", "gpu=t4"]) == 0
    text = capsys.readouterr().out
    for mesh in ("4 x 1", "2 x 2", "1 x 4"):
        assert mesh in text
    assert "best: train.parallel.dp_replicate=" in text
    assert cli.run(plan.main, ["codec.yaml", "gpus=2"]) == 0
    assert "toy_codec on 2 h100: 1,000 steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.streams.videos.crop=4096", "gpu=t4"], "no mesh fits 13 GB"),
        (["data.streams.videos.crop=0"], "data.streams.videos: the sizes of its clips are not known"),
    ],
)
def test_what_cannot_be_planned(
    stages: tuple[TAERunConfig, CodecRunConfig],
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    words: str,
) -> None:
    assert cli.run(plan.main, ["tae.yaml", "gpus=2", *overrides]) == 2
    assert words in capsys.readouterr().err
