"""The media transformer: a noisy latent, a flow time and text -> the velocity of the latent.

Shapes: B batch, C channels, T frames, H rows, W columns of the latent; N media tokens, L text tokens,
P values in a patch, D width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from src.models.nn.layers import Linear, make_norm, modulated
from src.models.transformer.adaln import ModulationTable, TimeModulation
from src.models.transformer.block import TransformerBlock
from src.models.transformer.config import TransformerConfig
from src.models.transformer.packing import Packing, pack_text
from src.models.transformer.patchify import from_patches, to_patches, token_grid
from src.models.transformer.pos_embed import FactorisedPositions


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
        x_BCTHW: Tensor | Sequence[Tensor],
        t_B: Tensor,
        context: Tensor | ContextCache,
        mask_BL: Tensor | None = None,
        known_BCTHW: Tensor | None = None,
    ) -> Any:
        """The velocity [B, C, T, H, W] at a point of the flow.

        Films of different sizes go in as a list of [C, T, H, W] and come out as one; they are packed one
        behind the other, so that nothing is padded. Text is then given as tokens, not as a cache.

        Args:
            x_BCTHW: the noisy latent, normalised.
            t_B: flow time in [0, 1]; 0 is noise, 1 is data.
            context: text tokens [B, L, context_dim], or `cache_context(...)` of them.
            mask_BL: bool, True where a text token is to be read. A `ContextCache` brings its own.
            known_BCTHW: what is known of the film, `known_channels` of the latent's size; None: nothing.
        """
        if not isinstance(x_BCTHW, Tensor):
            assert isinstance(context, Tensor), "packed films take text as tokens"
            assert known_BCTHW is None, "packed films take no known frames"
            return self._forward_packed(x_BCTHW, t_B, context, mask_BL)
        grid = token_grid(x_BCTHW.shape, self.config.patch)
        positions_ND = self.positions(grid)
        modulation_B6D, last_B2D = self.time(t_B)
        x_BND = self.patch_in(to_patches(x_BCTHW, self.config.patch)).to(positions_ND.dtype)
        if known_BCTHW is not None:
            x_BND = x_BND + self.known_in(to_patches(known_BCTHW, self.config.patch))
        if isinstance(context, ContextCache):
            mask_BL = context.mask_BL
        x_BND = self._run_blocks(x_BND, modulation_B6D, context, mask_BL, positions_ND)
        shift, scale = self.last_modulation(last_B2D)
        x_BNP = self.patch_out(modulated(self.last_norm, x_BND, shift, scale))
        return from_patches(x_BNP, grid, self.config.patch)

    def _run_blocks(
        self,
        x_BND: Tensor,
        modulation_B6D: Tensor,
        context: Tensor | ContextCache,
        mask_BL: Tensor | None,
        positions_ND: Tensor,
        packing: Packing | None = None,
    ) -> Tensor:
        for index, block in enumerate(self.blocks):
            text = context.keys_values[index] if isinstance(context, ContextCache) else context
            at_input = positions_ND if index == 0 or self.config.positions == "every" else None
            given = (x_BND, modulation_B6D, text, mask_BL, at_input, packing)
            if self.training and index < self.config.num_checkpointed_blocks:
                x_BND = checkpoint(block, *given, use_reentrant=False)
            else:
                x_BND = block(*given)
        return x_BND

    def _forward_packed(
        self, films: Sequence[Tensor], t_B: Tensor, context_BLD: Tensor, mask_BL: Tensor | None
    ) -> list[Tensor]:
        """Films [C, T, H, W] of any sizes in one row of tokens, with their own times and texts."""
        patch = self.config.patch
        grids = [token_grid(film.shape, patch) for film in films]
        positions_ND = torch.cat([self.positions(grid) for grid in grids])
        modulation_B6D, last_B2D = self.time(t_B)
        tokens_1NP = torch.cat([to_patches(film[None], patch) for film in films], 1)
        context_1SD, text_lengths = pack_text(context_BLD, mask_BL)
        packing = Packing(tuple(math.prod(grid) for grid in grids), text_lengths)
        x_1ND = self.patch_in(tokens_1NP).to(positions_ND.dtype)
        x_1ND = self._run_blocks(x_1ND, modulation_B6D, context_1SD, None, positions_ND, packing)
        shift, scale = (packing.per_token(each) for each in self.last_modulation(last_B2D))
        out_1NP = self.patch_out(modulated(self.last_norm, x_1ND, shift, scale))
        parts = zip(out_1NP.split(packing.media, 1), grids, strict=True)
        return [from_patches(part, grid, patch)[0] for part, grid in parts]

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
