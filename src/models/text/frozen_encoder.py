"""Pretrained, frozen text encoders: UL2 or any T5, ByT5, MetaCLIP's text tower (Movie Gen, sec. 3.1.4).

Loaded from a local directory with Hugging Face transformers (extra `text`); nothing is downloaded.

Shapes: B texts, L tokens, D dimension of the encoder.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.core.hashing import add_files
from src.models.text.config import FrozenTextConfig

Embeddings = dict[str, tuple[Tensor, Tensor]]  # encoder -> (tokens [B, L, D], mask bool [B, L])
QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')


def quoted_text(text: str) -> str:
    """Return the text in double quotes, several parts joined by a space; empty if there are none."""
    return " ".join(first or second for first, second in QUOTED.findall(text))


class FrozenEncoder:
    """A checkpoint and its tokenizer, for inference only.

    Raises:
        ValueError: transformers is not installed, the directory has no such checkpoint, or its dimension or
            maximum length contradicts the config.
    """

    def __init__(self, name: str, config: FrozenTextConfig, device: str | torch.device = "cpu") -> None:
        try:
            import transformers
        except ImportError as error:
            raise ValueError(f"encoders.{name} needs the package transformers (extra `text`)") from error
        self.name, self.config, self.device = name, config, torch.device(device)
        if not (Path(config.path) / "config.json").is_file():
            raise ValueError(f"encoders.{name}.path={config.path}: not a checkpoint (config.json not found)")
        kinds: dict[str, Any] = {"t5": transformers.T5EncoderModel, "clip": transformers.CLIPTextModel}
        transformers.utils.logging.disable_progress_bar()
        source = {"pretrained_model_name_or_path": config.path, "local_files_only": True}
        try:
            model = kinds[config.kind].from_pretrained(**source)
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**source)
        except (OSError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ValueError(f"encoders.{name}.path={config.path}: cannot be loaded: {detail}") from error
        self.model = model.eval().requires_grad_(False).to(self.device)
        self._check(model.config)

    def _check(self, hf_config: Any) -> None:
        where = f"encoders.{self.name}"
        dim = getattr(hf_config, "d_model", None) or hf_config.hidden_size
        if dim != self.config.dim:
            raise ValueError(f"{where}.dim must be {dim} for {self.config.path}, got {self.config.dim}")
        limit = getattr(hf_config, "max_position_embeddings", None)  # T5 has relative positions and no limit
        if limit is not None and self.config.max_tokens > limit:
            raise ValueError(f"{where}.max_tokens must be at most {limit}, got {self.config.max_tokens}")

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return tokens [B, L, D] float32, zero at padding, and mask bool [B, L]; L is the longest text's.

        A text without quotes has no token for an encoder of quoted text: its row of the mask is False.
        """
        inputs = [quoted_text(text) for text in texts] if self.config.quoted else texts
        batch = self.tokenizer(
            inputs, padding=True, truncation=True, max_length=self.config.max_tokens, return_tensors="pt"
        ).to(self.device)
        if not batch.input_ids.shape[1]:  # empty texts only, and a tokenizer without an end token
            tokens_BLD = torch.zeros(len(texts), 1, self.config.dim, device=self.device)
            return tokens_BLD, tokens_BLD[..., 0].bool()
        out = self.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
        mask_BL = batch.attention_mask.bool()
        if self.config.quoted:
            mask_BL &= torch.tensor([bool(text) for text in inputs], device=self.device)[:, None]
        hidden_BLD: Tensor = out.last_hidden_state.float()
        return hidden_BLD * mask_BL[..., None], mask_BL

    def is_truncated(self, text: str) -> bool:
        """Return whether the text has more than `max_tokens` tokens."""
        text = quoted_text(text) if self.config.quoted else text
        return len(self.tokenizer(text, verbose=False).input_ids) > self.config.max_tokens

    def fingerprint(self) -> str:
        """Return the key of cached embeddings (`fingerprint`)."""
        return fingerprint(self.config)


def fingerprint(config: FrozenTextConfig) -> str:
    """Return a hash of a checkpoint's files and the config, the key of cached embeddings; loads no model."""
    digest = hashlib.sha256(f"{config.kind} {config.max_tokens} {config.quoted}".encode())
    add_files(digest, (p for p in Path(config.path).rglob("*") if p.is_file()))
    return digest.hexdigest()[:16]
