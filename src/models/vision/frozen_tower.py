"""A pretrained, frozen CLIP image tower: Long-prompt MetaCLIP in the paper (Movie Gen, sec. 6.1).

Loaded from a local directory with Hugging Face transformers (extra `text`); nothing is downloaded.

Legend: T frames, C channels, H height, W width, D features.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from src.models.vision.config import FrozenVisionConfig

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's images
BATCH = 64  # frames at a time


class FrozenTower:
    """A checkpoint of a CLIP image tower with its projection, for inference only.

    Raises:
        ValueError: transformers is not installed, the directory has no such checkpoint, or its dimension
            contradicts the config.
    """

    def __init__(self, config: FrozenVisionConfig) -> None:
        try:
            import transformers
        except ImportError as error:
            raise ValueError("vision needs the package transformers (extra `text`)") from error
        self.config = config
        if not (Path(config.path) / "config.json").is_file():
            raise ValueError(f"vision.path={config.path}: not a checkpoint (config.json not found)")
        transformers.utils.logging.disable_progress_bar()
        try:
            model: Any = transformers.CLIPVisionModelWithProjection.from_pretrained(
                config.path, local_files_only=True
            )
        except (OSError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ValueError(f"vision.path={config.path}: cannot be loaded: {detail}") from error
        if model.config.projection_dim != config.dim:
            raise ValueError(
                f"vision.dim={config.dim}: {config.path} has {model.config.projection_dim} features"
            )
        self.size: int = model.config.image_size
        self.model = model.eval().requires_grad_(False)

    def fingerprint(self) -> str:
        """Return a hash of the weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode() + tensor.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    @torch.inference_mode()
    def encode(self, frames_TCHW: Tensor) -> Tensor:
        """Return features [T, D] of uint8 frames, resized to cover the tower's square and cropped around the
        center.
        """
        device = self.model.device
        features = [self._encode(part.to(device)) for part in frames_TCHW.split(BATCH)]
        return torch.cat(features)

    def _encode(self, frames_TCHW: Tensor) -> Tensor:
        height, width = frames_TCHW.shape[2:]
        scale = self.size / min(height, width)
        shape = (max(round(height * scale), self.size), max(round(width * scale), self.size))
        x = F.interpolate(
            frames_TCHW, size=shape, mode="bicubic", antialias=True
        )  # uint8: what a viewer sees
        top, left = (shape[0] - self.size) // 2, (shape[1] - self.size) // 2
        x = x[:, :, top : top + self.size, left : left + self.size].float() / 255
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (MEAN, STD))
        found: Tensor = self.model(pixel_values=(x - mean) / std).image_embeds
        return found
