"""A small text encoder that reads bytes and is trained with the model: no vocabulary, no download.

Bytes are grouped into words first, so that a caption of a hundred bytes is about twenty tokens.

Shapes: B batch, L tokens, K bytes in a token (and S = K + 1 symbols), D width.
"""

import re

import torch
from torch import Tensor, nn

from src.models.nn.layers import NORM_EPS, RMSNorm, SwiGLU, modulated
from src.models.text.config import ByteEncoderConfig
from src.models.text.context import TextContext
from src.models.transformer.block import SelfAttention

NUM_SYMBOLS = 259  # 256 bytes, and:
PADDING, BEGIN, GLUED = 256, 257, 258
PIECES = re.compile(rb"( ?)([A-Za-z]+|[0-9]+|[\x80-\xff]+|[^A-Za-z0-9\x80-\xff])", re.DOTALL)


class TextBlock(nn.Module):
    """Pre-norm self-attention and SwiGLU."""

    def __init__(self, config: ByteEncoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, eps=NORM_EPS)
        self.attention = SelfAttention(config.width, config.heads, backend=config.attention)
        self.ffn_norm = RMSNorm(config.width, eps=NORM_EPS)
        self.ffn = SwiGLU(config.width, config.ffn)

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        x_BLD = x_BLD + self.attention(modulated(self.attention_norm, x_BLD), mask_BL)
        return x_BLD + self.ffn(modulated(self.ffn_norm, x_BLD))


class ByteEncoder(nn.Module):
    """Captions -> contextual tokens. The empty caption is the null condition: one lone BEGIN token."""

    def __init__(self, config: ByteEncoderConfig) -> None:
        super().__init__()
        self.config = config
        # One vector for every (place in the token, byte): their sum tells any two words apart from step 0.
        self.symbols = nn.Parameter(torch.empty((config.bytes_per_token + 1) * NUM_SYMBOLS, config.width))
        self.positions = nn.Parameter(torch.empty(config.max_tokens, config.width))
        self.word = SwiGLU(config.width, config.ffn)
        self.word_norm = RMSNorm(config.width, eps=NORM_EPS)
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.layers))
        self.last_norm = RMSNorm(config.width, eps=NORM_EPS)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.symbols, std=0.5)
        nn.init.normal_(self.positions, std=self.config.position_std)

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Texts to (ids int64 [B, L, K + 1], mask bool [B, L]) on the CPU; L is the longest text's.

        A run of letters, of digits or of non-ASCII bytes is a token, cut after K bytes; any other byte is
        a token of its own. A token's last slot says whether it follows without a space, so that a text
        can be told from its ids, up to `max_tokens`.
        """
        rows = [self._pieces(text)[: self.config.max_tokens] for text in texts]
        length = max(len(row) for row in rows)
        ids = torch.full((len(rows), length, self.config.bytes_per_token + 1), PADDING)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        places = ids.numpy()
        for i, row in enumerate(rows):
            mask[i, : len(row)] = True
            for j, (piece, glued) in enumerate(row):
                places[i, j, : len(piece)] = piece
                if glued:
                    places[i, j, -1] = GLUED
        return ids, mask

    def _pieces(self, text: str) -> list[tuple[list[int], bool]]:
        """Tokens as (symbols, glued), BEGIN first."""
        size = self.config.bytes_per_token
        pieces: list[tuple[list[int], bool]] = [([BEGIN], False)]
        if size == 1:
            return pieces + [([byte], False) for byte in text.encode()]
        for match in PIECES.finditer(b" " + text.encode()) if text else ():
            space, run = match.groups()
            cuts = range(0, len(run), size)
            pieces += [(list(run[i : i + size]), i > 0 or not space) for i in cuts]
            if len(pieces) >= self.config.max_tokens:
                break
        return pieces

    def forward(self, ids_BLS: Tensor, mask_BL: Tensor) -> TextContext:
        """Contextual tokens [B, L, width], normalised."""
        place_S = NUM_SYMBOLS * torch.arange(ids_BLS.shape[2], device=ids_BLS.device)
        bags = (ids_BLS + place_S).flatten(0, 1)
        words = nn.functional.embedding_bag(bags, self.symbols, mode="sum").unflatten(0, ids_BLS.shape[:2])
        x_BLD = self.word_norm(words + self.word(words)) + self.positions[: ids_BLS.shape[1]]
        for block in self.blocks:
            x_BLD = block(x_BLD, mask_BL)
        return TextContext(self.last_norm(x_BLD), mask_BL)

    def encode(self, texts: list[str]) -> TextContext:
        """Tokenise and encode on the encoder's device."""
        ids, mask = self.tokenize(texts)
        device = self.symbols.device
        return self(ids.to(device), mask.to(device))

    def shard_groups(self) -> list[nn.Module]:
        """Submodules to shard one by one, in order of use; what is left belongs to the root."""
        return list(self.blocks)
