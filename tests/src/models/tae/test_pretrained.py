"""Published autoencoders of diffusers, tiny and with random weights, in place of a TAE."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from src import train
from src.core.errors import UserError
from src.models.tae.pretrained import KINDS, PretrainedAutoencoder, is_pretrained, pretrained_key
from src.runs import loading
from src.streaming.pixels import from_uint8
from src.streaming.reader import Dataset
from tests.fixtures.toy_data import write_pixels

CONFIGS: dict[str, dict[str, Any]] = {
    "AutoencoderKLWan": {
        "base_dim": 3,
        "z_dim": 4,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
        "latents_mean": [0.0] * 4,
        "latents_std": [1.0] * 4,
    },
    "AutoencoderKLHunyuanVideo": {
        "latent_channels": 4,
        "down_block_types": ["HunyuanVideoDownBlock3D"] * 4,
        "up_block_types": ["HunyuanVideoUpBlock3D"] * 4,
        "block_out_channels": [8, 8, 8, 8],
        "layers_per_block": 1,
        "norm_num_groups": 4,
    },
    "AutoencoderKLCogVideoX": {
        "down_block_types": ["CogVideoXDownBlock3D"] * 4,
        "up_block_types": ["CogVideoXUpBlock3D"] * 4,
        "block_out_channels": [8, 8, 8, 8],
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
    },
    "AutoencoderKLLTXVideo": {
        "latent_channels": 8,
        "block_out_channels": [8, 8, 8, 8],
        "decoder_block_out_channels": [8, 8, 8, 8],
        "layers_per_block": [1] * 5,
        "decoder_layers_per_block": [1] * 5,
        "spatio_temporal_scaling": [True, True, False, False],
        "decoder_spatio_temporal_scaling": [True, True, False, False],
        "decoder_inject_noise": [False] * 5,
        "upsample_residual": [False] * 4,
        "upsample_factor": [1] * 4,
        "patch_size": 1,
    },
    "AutoencoderKL": {
        "block_out_channels": [8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": 4,
        "norm_num_groups": 2,
        "layers_per_block": 1,
    },
}
FACTORS = {
    "AutoencoderKLWan": (4, 8),
    "AutoencoderKLHunyuanVideo": (4, 8),
    "AutoencoderKLCogVideoX": (4, 8),
    "AutoencoderKLLTXVideo": (4, 4),
    "AutoencoderKL": (1, 2),
}


def save(kind: str, folder: Path) -> Path:
    torch.manual_seed(0)
    getattr(diffusers, kind)(**CONFIGS[kind]).save_pretrained(folder / kind)
    return folder / kind


@torch.inference_mode()
@pytest.mark.parametrize("kind", KINDS)
def test_sizes_are_those_of_a_tae(kind: str, tmp_path: Path) -> None:
    path = save(kind, tmp_path)
    assert is_pretrained(path)
    model = PretrainedAutoencoder(path)
    found = (model.config.temporal_factor, model.config.spatial_factor)
    assert found == FACTORS[kind]
    video = torch.rand(2, 3, 16, 32, 32) * 2 - 1
    posterior = model.encode(video)
    assert posterior.mean_BCTHW.shape[1:] == model.latent_shape(16, 32, 32)
    assert model.latent_shape(16, 32, 32)[1] == (16 if kind == "AutoencoderKL" else 5)
    assert bool(torch.isfinite(posterior.std_BCTHW).all())
    assert model.decode(posterior.mode(), 16).shape == video.shape
    first = model.encode(video[:, :, :1]).mean_BCTHW
    assert first.shape[2] == 1
    if kind not in ("AutoencoderKLHunyuanVideo", "AutoencoderKLCogVideoX"):  # whose norms see all frames
        torch.testing.assert_close(first, posterior.mean_BCTHW[:, :, :1], rtol=1e-3, atol=1e-3)


def test_latents_of_a_published_autoencoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save("AutoencoderKLWan", tmp_path).rename("vae")
    write_pixels(Path("data/train"), {(8, 16, 16): 2, (40, 16, 16): 1})
    Path("x.yaml").write_text("{experiment: encode_latents, run_dir: latents, tae: vae, data: data}")
    train.main(["x.yaml"])
    encoded, pixels = Dataset("latents/train"), Dataset("data/train")
    model, key = loading.load_autoencoder(Path("vae"))
    assert encoded.info.provenance["tae_key"] == key == pretrained_key(path.parent / "vae")
    assert "tiling" not in encoded.info.provenance
    for bucket, num_latents in (("8x16x16", 3), ("40x16x16", 11)):
        moments = encoded.latents(bucket, 0).moments_2CTHW
        assert moments.shape == (8, num_latents, 2, 2)
        video = from_uint8(pixels.pixels(bucket, 0).video_TCHW.transpose(0, 1)[None])
        mean = model.encode(video).mean_BCTHW[0]
        torch.testing.assert_close(moments[:4].float(), mean, rtol=1e-2, atol=1e-2)
    next(Path("vae").glob("*.safetensors")).write_bytes(b"broken")
    with pytest.raises(UserError, match="vae: cannot be loaded"):
        loading.load_autoencoder(Path("vae"))
