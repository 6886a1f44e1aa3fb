"""Frozen encoders' tokens made one text: each projected and normalised, then concatenated (spec, 3.5).

Shapes: B batch, L tokens (of one encoder, or of all), D width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from src.models.nn.layers import NORM_EPS, Linear
from src.models.text.config import FrozenTextConfig
from src.models.text.context import TextContext
from src.models.text.frozen_encoder import Embeddings


class ProjectedText(nn.Module):
    """What is trained of the text: a projection and a norm for each encoder, and one null token.

    The null token stands in front of every text and is all that a text without condition consists of,
    so that a row always has something to read.
    """

    def __init__(self, encoders: Mapping[str, FrozenTextConfig], width: int) -> None:
        super().__init__()
        self.names, self.width = tuple(sorted(encoders)), width
        self.projections = nn.ModuleDict({n: Linear(encoders[n].dim, width) for n in self.names})
        self.norms = nn.ModuleDict({n: nn.LayerNorm(width, eps=NORM_EPS) for n in self.names})
        self.null = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.null)

    def encode(self, embeddings: Embeddings) -> TextContext:
        """Embeddings by encoder to one context [B, 1 + sum of L, width], in the order of the names.

        Raises:
            ValueError: an encoder's embeddings are missing.
        """
        missing = [name for name in self.names if name not in embeddings]
        if missing:
            raise ValueError(f"no embeddings of encoder {missing[0]}; there are: {', '.join(embeddings)}")
        first = embeddings[self.names[0]][1]
        device = self.null.device
        tokens = [self.null.expand(len(first), 1, -1)]
        masks = [torch.ones(len(first), 1, dtype=torch.bool, device=device)]
        for name in self.names:
            found_BLD, mask_BL = (each.to(device) for each in embeddings[name])
            tokens.append(self.norms[name](self.projections[name](found_BLD)))
            masks.append(mask_BL)
        return TextContext(torch.cat([t.to(tokens[-1].dtype) for t in tokens], 1), torch.cat(masks, 1))

    def shard_groups(self) -> list[nn.Module]:
        """Nothing is large enough to be sharded by itself."""
        return []


def drop_encoders(
    embeddings: Embeddings, uniforms: Mapping[str, Tensor], each: float, all_: float
) -> Embeddings:
    """Embeddings with some masked: one encoder's, or a sample's altogether.

    Args:
        uniforms: numbers in [0, 1), [B], by encoder and under "" for all together.
        each: probability of dropping an encoder for a sample, independently of the others.
        all_: probability of dropping every encoder of a sample: the null condition of guidance.
    """
    kept_B = uniforms[""] >= all_
    out = {}
    for name, (tokens_BLD, mask_BL) in embeddings.items():
        keep_B = (kept_B & (uniforms[name] >= each)).to(mask_BL.device)
        out[name] = (tokens_BLD, mask_BL & keep_B[:, None])
    return out


def without_text(embeddings: Embeddings) -> Embeddings:
    """The null condition for as many samples: nothing but the null token is read."""
    return {name: (tokens, torch.zeros_like(mask)) for name, (tokens, mask) in embeddings.items()}
