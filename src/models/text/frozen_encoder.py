"""Text encoders that others trained: UL2 or any T5, ByT5, MetaCLIP's text tower (spec, section 3.5).

Loaded from a local directory through Hugging Face transformers (extra `text`), frozen; nothing is fetched.

Shapes: B texts, L tokens, D dimension of the encoder.
"""

import hashlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from src.models.text.config import FrozenTextConfig

Embeddings = dict[str, tuple[Tensor, Tensor]]  # encoder -> (tokens [B, L, D], mask bool [B, L])
QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”')


def quoted_text(text: str) -> str:
    """What stands in double quotes, several parts joined by a space; empty where nothing does."""
    return " ".join(first or second for first, second in QUOTED.findall(text))


class FrozenEncoder:
    """A checkpoint and its tokenizer, for inference only.

    Raises:
        ValueError: transformers is not installed, the directory holds no such checkpoint, or its
            dimension or longest text is not what the config says.
    """

    def __init__(self, name: str, config: FrozenTextConfig, device: str | torch.device = "cpu") -> None:
        try:
            import transformers
        except ImportError as error:
            raise ValueError(f"encoders.{name} needs the package transformers (extra `text`)") from error
        self.name, self.config, self.device = name, config, torch.device(device)
        if not (Path(config.path) / "config.json").is_file():
            raise ValueError(f"encoders.{name}.path={config.path}: holds no checkpoint (config.json)")
        kinds: dict[str, Any] = {"t5": transformers.T5EncoderModel, "clip": transformers.CLIPTextModel}
        transformers.utils.logging.disable_progress_bar()
        where = {"pretrained_model_name_or_path": config.path, "local_files_only": True}
        try:
            model = kinds[config.kind].from_pretrained(**where)
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**where)
        except (OSError, ValueError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ValueError(f"encoders.{name}.path={config.path}: cannot be loaded: {detail}") from error
        self.model = model.eval().requires_grad_(False).to(self.device)
        self._check(model.config)

    def _check(self, found: Any) -> None:
        where = f"encoders.{self.name}"
        dim = getattr(found, "d_model", None) or found.hidden_size
        if dim != self.config.dim:
            raise ValueError(f"{where}.dim must be {dim} for {self.config.path}, got {self.config.dim}")
        most = getattr(found, "max_position_embeddings", None)  # T5 has relative positions and no limit
        if most is not None and self.config.max_tokens > most:
            raise ValueError(f"{where}.max_tokens must be at most {most}, got {self.config.max_tokens}")

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Tokens [B, L, D] float32 and mask bool [B, L], L the longest text's; padding is zero.

        A text without quotes has no token for an encoder of quoted text: its row of the mask is False.
        """
        read = [quoted_text(text) for text in texts] if self.config.quoted else texts
        given = self.tokenizer(
            read, padding=True, truncation=True, max_length=self.config.max_tokens, return_tensors="pt"
        ).to(self.device)
        if not given.input_ids.shape[1]:  # nothing but empty texts, and a tokenizer without an end token
            nothing = torch.zeros(len(texts), 1, self.config.dim + 1, device=self.device)
            return nothing[..., 1:], nothing[..., 0].bool()
        out = self.model(input_ids=given.input_ids, attention_mask=given.attention_mask)
        mask_BL = given.attention_mask.bool()
        if self.config.quoted:
            mask_BL &= torch.tensor([bool(text) for text in read], device=self.device)[:, None]
        return out.last_hidden_state.float() * mask_BL[..., None], mask_BL

    def fingerprint(self) -> str:
        """Hash of every file of the checkpoint and of how texts are read; cached embeddings carry it."""
        digest = hashlib.sha256(f"{self.config.kind} {self.config.max_tokens} {self.config.quoted}".encode())
        for path in sorted(p for p in Path(self.config.path).rglob("*") if p.is_file()):
            digest.update(path.name.encode())
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]
