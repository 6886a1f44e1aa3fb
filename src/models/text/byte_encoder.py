"""A small byte-level text encoder, trained jointly with the model: no vocabulary, no download.

Bytes are first grouped into words, so that a caption of a hundred bytes is about twenty tokens.

Shapes: B batch, L tokens, K bytes per token (and S = K + 1 symbols), D model dimension.
"""

import re

import torch
from torch import Tensor, nn

from src.models.nn.attention_layers import SelfAttention
from src.models.nn.layers import RMSNorm, SwiGLU
from src.models.text.config import ByteEncoderConfig
from src.models.text.context import TextContext

NUM_SYMBOLS = 259  # 256 bytes, and:
PADDING, BEGIN, GLUED = 256, 257, 258
PIECES = re.compile(rb"( ?)([A-Za-z]+|[0-9]+|[\x80-\xff]+|[^A-Za-z0-9\x80-\xff])", re.DOTALL)


class TextBlock(nn.Module):
    """Pre-norm self-attention and SwiGLU."""

    def __init__(self, config: ByteEncoderConfig) -> None:
        super().__init__()
        dim = config.hidden_size
        self.attention = SelfAttention(dim, config.num_heads, norm=RMSNorm(dim), backend=config.attention)
        self.ffn = SwiGLU(dim, config.ffn_dim, norm=RMSNorm(dim))

    def forward(self, x_BLD: Tensor, mask_BL: Tensor) -> Tensor:
        x_BLD = x_BLD + self.attention(x_BLD, mask_BN=mask_BL)
        out: Tensor = x_BLD + self.ffn(x_BLD)
        return out


class ByteEncoder(nn.Module):
    """Maps captions to contextual tokens. The empty caption is the null condition: a single BEGIN token."""

    def __init__(self, config: ByteEncoderConfig) -> None:
        super().__init__()
        self.config = config
        # One vector per (position in the token, byte): their sum distinguishes any two words from step 0.
        self.symbol_embed = nn.Parameter(
            torch.empty((config.bytes_per_token + 1) * NUM_SYMBOLS, config.hidden_size)
        )
        self.pos_embed = nn.Parameter(torch.empty(config.max_tokens, config.hidden_size))
        self.word_ffn = SwiGLU(config.hidden_size, config.ffn_dim)
        self.word_norm = RMSNorm(config.hidden_size)
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.depth))
        self.norm_out = RMSNorm(config.hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.symbol_embed, std=0.5)
        nn.init.normal_(self.pos_embed, std=self.config.position_std)

    def tokenize(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return (ids int64 [B, L, K + 1], mask bool [B, L]) on the CPU; L is the length of the longest text.

        A run of letters, of digits or of non-ASCII bytes is a token, cut after K bytes; any other byte is a
        token of its own. The last slot of a token marks that no space precedes it, so that ids determine the
        text, up to `max_tokens`.
        """
        rows = [self._pieces(text)[: self.config.max_tokens] for text in texts]
        length = max(len(row) for row in rows)
        ids = torch.full((len(rows), length, self.config.bytes_per_token + 1), PADDING)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        slots = ids.numpy()  # a view: numpy assigns single elements faster than torch
        for i, row in enumerate(rows):
            mask[i, : len(row)] = True
            for j, (piece, glued) in enumerate(row):
                slots[i, j, : len(piece)] = piece
                if glued:
                    slots[i, j, -1] = GLUED
        return ids, mask

    def is_truncated(self, text: str) -> bool:
        """Return whether the text has more than `max_tokens` tokens: its last character changes no id."""
        text = text.rstrip(" ")
        if not text:
            return False
        (with_last, _), (without_last, _) = self.tokenize([text]), self.tokenize([text[:-1]])
        return torch.equal(with_last, without_last)

    def _pieces(self, text: str) -> list[tuple[list[int], bool]]:
        """Return tokens as (symbols, glued), BEGIN first; glued: no space precedes the token."""
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
        """Return contextual tokens [B, L, D], normalized."""
        # Offsets select one embedding table per position in the token from the single concatenated table.
        offset_S = NUM_SYMBOLS * torch.arange(ids_BLS.shape[2], device=ids_BLS.device)
        bags = (ids_BLS + offset_S).flatten(0, 1)
        words = nn.functional.embedding_bag(bags, self.symbol_embed, mode="sum").unflatten(
            0, ids_BLS.shape[:2]
        )
        x_BLD = self.word_norm(words + self.word_ffn(words)) + self.pos_embed[: ids_BLS.shape[1]]
        for block in self.blocks:
            x_BLD = block(x_BLD, mask_BL)
        return TextContext(self.norm_out(x_BLD), mask_BL)

    def encode(self, texts: list[str]) -> TextContext:
        """Tokenize and encode on the encoder's device."""
        ids, mask = self.tokenize(texts)
        device = self.symbol_embed.device
        context: TextContext = self(ids.to(device), mask.to(device))
        return context

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one, in order of use; the root shards the rest."""
        return list(self.blocks)
