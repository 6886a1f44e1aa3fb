"""The media transformer: a noisy latent, a flow time and text -> the velocity of the latent.

Shapes: B batch, C channels, T frames, H rows, W columns of the latent; N media tokens, L text tokens,
P values in a patch, D width.
"""

import math
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.models.transformer.block import TransformerBlock
from src.models.transformer.conditioning import ModulationTable, TimeModulation, modulate
from src.models.transformer.config import TransformerConfig
from src.models.transformer.layers import Linear, make_norm
from src.models.transformer.patches import from_patches, to_patches, token_grid
from src.models.transformer.positions import FactorisedPositions


@dataclass(frozen=True)
class ContextCache:
    """Keys and values of the text in every block: computed once for a sampling run."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    mask_BL: Tensor | None


class MediaTransformer(nn.Module):
    """Paper section 3.1.2 (spec, section 3): patches, blocks with positions at every layer, velocity.

    A picture is a film of one frame. Everything about a mesh, a trainer or a config file is elsewhere.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        patch_dim = config.latent_channels * math.prod(config.patch)
        self.patch_in = Linear(patch_dim, config.width, bias=config.bias)
        if config.known_channels:  # a layer of its own, at zero: a model trained without it starts unchanged
            known_dim = config.known_channels * math.prod(config.patch)
            self.known_in = Linear(known_dim, config.width, zero=True)
        self.positions = FactorisedPositions(config.max_positions, config.width, config.position_std)
        self.time = TimeModulation(config.width, config.time_dim)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.layers))
        self.last_norm = make_norm(config.norm, config.width)
        self.last_modulation = ModulationTable((0.0, 0.0), config.width)
        self.patch_out = Linear(config.width, patch_dim, bias=config.bias, zero=True)

    def forward(
        self,
        x_BCTHW: Tensor,
        t_B: Tensor,
        context: Tensor | ContextCache,
        mask_BL: Tensor | None = None,
        known_BCTHW: Tensor | None = None,
    ) -> Tensor:
        """The velocity [B, C, T, H, W] at a point of the flow.

        Args:
            x_BCTHW: the noisy latent, normalised.
            t_B: flow time in [0, 1]; 0 is noise, 1 is data.
            context: text tokens [B, L, context_dim], or `cache_context(...)` of them.
            mask_BL: bool, True where a text token is to be read. A `ContextCache` brings its own.
            known_BCTHW: what is known of the film, `known_channels` of the latent's size; None: nothing.
        """
        grid = token_grid(x_BCTHW.shape, self.config.patch)
        positions_ND = self.positions(grid)
        modulation_B6D, last_B2D = self.time(t_B)
        x_BND = self.patch_in(to_patches(x_BCTHW, self.config.patch)).to(positions_ND.dtype)
        if known_BCTHW is not None:
            x_BND = x_BND + self.known_in(to_patches(known_BCTHW, self.config.patch))
        if isinstance(context, ContextCache):
            mask_BL = context.mask_BL
        for index, block in enumerate(self.blocks):
            text = context.keys_values[index] if isinstance(context, ContextCache) else context
            at_input = positions_ND if index == 0 or self.config.positions == "every" else None
            if self.training and index < self.config.num_checkpointed_blocks:
                x_BND = checkpoint(block, x_BND, modulation_B6D, text, mask_BL, at_input, use_reentrant=False)
            else:
                x_BND = block(x_BND, modulation_B6D, text, mask_BL, at_input)
        shift, scale = self.last_modulation(last_B2D)
        x_BNP = self.patch_out(modulate(self.last_norm(x_BND), shift, scale))
        return from_patches(x_BNP, grid, self.config.patch)

    def cache_context(self, context_BLD: Tensor, mask_BL: Tensor | None = None) -> ContextCache:
        """Every block's text keys and values. They do not depend on time or latent: one call per run."""
        attentions = [cast(TransformerBlock, block).cross_attention for block in self.blocks]
        return ContextCache(tuple(each.keys_values(context_BLD) for each in attentions), mask_BL)

    def shard_groups(self) -> list[nn.Module]:
        """Submodules to shard one by one, in order of use; what is left belongs to the root."""
        return list(self.blocks)

    def num_tokens(self, shape: tuple[int, ...]) -> int:
        """Media tokens of one latent [..., T, H, W]."""
        return math.prod(token_grid(shape, self.config.patch))
