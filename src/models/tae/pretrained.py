"""Published autoencoders in diffusers' format, by path, in place of a TAE.

Video autoencoders (Wan, HunyuanVideo, CogVideoX, LTX) are causal: latent frame 0 stands for the first frame
alone, each further one for `temporal_factor` frames. A video of another length is continued with its last
frame, which is dropped again after decoding. An image autoencoder (of Stable Diffusion 3.5, for example)
takes every frame by itself. Videos are encoded and decoded in one piece: these models have tiles of their
own kind or none.

Legend: B batch, C channels, T frames, H height, W width.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from src.core.hashing import add_files
from src.models.tae.posterior import Posterior

KINDS = (
    "AutoencoderKLWan",
    "AutoencoderKLHunyuanVideo",
    "AutoencoderKLCogVideoX",
    "AutoencoderKLLTXVideo",
    "AutoencoderKL",
)
PROBE = (1, 3, 17, 64, 64)  # a video whose latent shows the factors; 17 frames are 1 + 16


@dataclass(frozen=True)
class PretrainedConfig:
    """Sizes of a published autoencoder, with the names of `TAEConfig`."""

    kind: str
    latent_channels: int
    temporal_factor: int
    spatial_factor: int
    in_channels: int = 3

    def num_latent_frames(self, num_frames: int) -> int:
        return 1 + -(-(num_frames - 1) // self.temporal_factor)


def is_pretrained(path: Path) -> bool:
    """Return whether a directory holds an autoencoder as diffusers' `save_pretrained` writes it."""
    return _kind_of(path) in KINDS


def pretrained_key(path: Path) -> str:
    """Return a hash of the files of a published autoencoder, the key of its latents; loads no model."""
    digest = hashlib.sha256()
    add_files(digest, (p for p in path.iterdir() if p.suffix in (".json", ".safetensors", ".bin")))
    return digest.hexdigest()[:16]


class PretrainedAutoencoder(nn.Module):
    """A published autoencoder with the methods of `TAE` that encoding and decoding need.

    Raises:
        ValueError: diffusers is not installed, or the directory cannot be loaded.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            import diffusers
        except ImportError as error:
            raise ValueError(f"{path}: an autoencoder of diffusers needs the package diffusers") from error
        kind = _kind_of(path)
        model_class: Any = getattr(diffusers, kind)
        try:
            with torch.device("meta"):
                skeleton = model_class.from_config(model_class.load_config(path, local_files_only=True))
            self.config = _probe(skeleton, kind)
            self.model = model_class.from_pretrained(path, local_files_only=True).eval().requires_grad_(False)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{path}: cannot be loaded: {' '.join(str(error).split())[:200]}") from error

    def latent_shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (C, T, H, W) of the latent of a video."""
        c, factor = self.config, self.config.spatial_factor
        return c.latent_channels, c.num_latent_frames(num_frames), height // factor, width // factor

    def encode(self, video_BCTHW: Tensor) -> Posterior:
        """Return the posterior of a video's latent."""
        factor, num_frames = self.config.temporal_factor, video_BCTHW.shape[2]
        missing = -(num_frames - 1) % factor
        if missing:
            video_BCTHW = torch.cat([video_BCTHW, video_BCTHW[:, :, -1:].expand(-1, -1, missing, -1, -1)], 2)
        found = _encode(self.model, self.config.kind, video_BCTHW)
        return Posterior(found.mean.float(), (2 * found.std.float().clamp(min=1e-13).log()).clamp(-30, 20))

    def decode(self, latent_BCTHW: Tensor, num_frames: int | None = None) -> Tensor:
        """Decode a video of about [-1, 1]; frames beyond `num_frames` are dropped."""
        latent_BCTHW = latent_BCTHW.to(next(self.model.parameters()).dtype)
        if self.config.kind == "AutoencoderKL":
            frames = self.model.decode(latent_BCTHW.transpose(1, 2).flatten(0, 1)).sample
            video = frames.unflatten(0, (len(latent_BCTHW), -1)).transpose(1, 2)
        else:
            video = self.model.decode(latent_BCTHW).sample
        shown: Tensor = video[:, :, :num_frames]
        return shown


def _kind_of(path: Path) -> str:
    file = path / "config.json"
    if not file.is_file():
        return ""
    try:
        return str(json.loads(file.read_text(encoding="utf-8")).get("_class_name", ""))
    except (ValueError, AttributeError):
        return ""


def _encode(model: Any, kind: str, video_BCTHW: Tensor) -> Any:
    """Return diffusers' distribution of the latent, as [B, C, T, H, W]."""
    if kind != "AutoencoderKL":
        return model.encode(video_BCTHW).latent_dist
    frames = video_BCTHW.transpose(1, 2).flatten(0, 1)
    found = model.encode(frames).latent_dist
    for name in ("mean", "std"):
        value = getattr(found, name).unflatten(0, (len(video_BCTHW), -1)).transpose(1, 2)
        setattr(found, name, value)
    return found


@torch.no_grad()
def _probe(skeleton: Any, kind: str) -> PretrainedConfig:
    """Return the sizes of a model on the meta device, from the latent of a video without values."""
    _, channels, frames, height, _ = _encode(skeleton, kind, torch.empty(PROBE, device="meta")).mean.shape
    return PretrainedConfig(
        kind=kind,
        latent_channels=channels,
        temporal_factor=(PROBE[2] - 1) // (frames - 1),
        spatial_factor=PROBE[3] // height,
    )
