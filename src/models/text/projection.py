"""Project, normalize and concatenate the tokens of frozen text encoders (Movie Gen, sec. 3.1.4).

Shapes: B batch, L tokens (of one encoder, or of all), D model dimension.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from src.models.nn.layers import NORM_EPS, Linear
from src.models.text.config import FrozenTextConfig
from src.models.text.context import TextContext
from src.models.text.frozen_encoder import Embeddings


class ProjectedText(nn.Module):
    """A trained projection and norm for each frozen encoder, and one null token.

    The null token precedes every text, and the null condition consists of it alone, so that each row has a
    token to attend to.
    """

    def __init__(self, encoders: Mapping[str, FrozenTextConfig], dim: int) -> None:
        super().__init__()
        self.names = tuple(sorted(encoders))
        self.projections = nn.ModuleDict({n: Linear(encoders[n].dim, dim) for n in self.names})
        self.norms = nn.ModuleDict({n: nn.LayerNorm(dim, eps=NORM_EPS) for n in self.names})
        self.null = nn.Parameter(torch.empty(dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.null)

    def encode(self, embeddings: Embeddings) -> TextContext:
        """Return one context [B, 1 + sum of L, D] of the embeddings by encoder, in the order of the names.

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
            embedding_BLD, mask_BL = (each.to(device) for each in embeddings[name])
            tokens.append(self.norms[name](self.projections[name](embedding_BLD)))
            masks.append(mask_BL)
        return TextContext(torch.cat([t.to(tokens[-1].dtype) for t in tokens], 1), torch.cat(masks, 1))

    def shard_groups(self) -> list[nn.Module]:
        """Return no groups: nothing is large enough to be sharded by itself."""
        return []


def drop_encoders(
    embeddings: Embeddings, uniforms: Mapping[str, Tensor], each: float, all_: float
) -> Embeddings:
    """Mask embeddings at random: those of single encoders, or all of a sample.

    Args:
        uniforms: numbers in [0, 1), [B], by encoder, and under "" for all encoders at once.
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
    """Return the null condition for as many samples: every token but the null token is masked."""
    return {name: (tokens, torch.zeros_like(mask)) for name, (tokens, mask) in embeddings.items()}
