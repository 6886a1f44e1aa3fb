"""The media transformer: predicts the velocity of a noisy latent, given a flow time and text.

Shapes: B batch, C channels, T frames, H rows, W columns of the latent; N media tokens, L text tokens,
P values per patch, D hidden size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from src.models.nn.layers import MLP, Linear, NormLinear, SwiGLU, ZeroLinear, make_norm
from src.models.nn.rotary import Rotation, rotation
from src.models.nn.token_shards import CutTokens, TokenShards
from src.models.transformer.activation_memory import run_checkpointed
from src.models.transformer.adaln import AdaLNSingle, ScaleShiftTable
from src.models.transformer.block import TransformerBlock
from src.models.transformer.config import TransformerConfig
from src.models.transformer.packing import Packing, pack_text
from src.models.transformer.patchify import from_patches, to_patches, token_grid
from src.models.transformer.pos_embed import FactorizedPosEmbed


@dataclass(frozen=True)
class Positions:
    """Position embeddings [N, D] to add to the tokens, or the rotation of their queries and keys."""

    embed_ND: Tensor | None
    rotation: Rotation | None

    def repeated(self) -> "Positions":
        """Return the positions of as many tokens again, in front."""
        embed_ND = None if self.embed_ND is None else torch.cat([self.embed_ND, self.embed_ND])
        if self.rotation is None:
            return Positions(embed_ND, None)
        cos, sin = self.rotation
        return Positions(embed_ND, (torch.cat([cos, cos]), torch.cat([sin, sin])))

    def local(self, shards: TokenShards | None) -> "Positions":
        """Return this process's: embeddings of its stream, rotation of its queries."""
        if shards is None:
            return self
        embed_ND = None if self.embed_ND is None else self.embed_ND[shards.stream]
        if self.rotation is None:
            return Positions(embed_ND, None)
        cos, sin = self.rotation
        return Positions(embed_ND, (cos[shards.queries], sin[shards.queries]))


@dataclass(frozen=True)
class ContextCache:
    """Keys and values of the text in every block, computed once per sampling run."""

    keys_values: tuple[tuple[Tensor, Tensor], ...]
    mask_BL: Tensor | None


class MediaTransformer(nn.Module):
    """Patches, blocks with position embeddings at every layer, velocity (Movie Gen, sec. 3.1.3).

    An image is a video of one frame, audio a video of one row and column whose frames are those of its codec.
    Training, sharding and config files are handled elsewhere.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.cut_tokens: CutTokens | None = None  # set where processes share the tokens of a sample
        patch_dim = config.latent_channels * math.prod(config.patch)
        self.patch_embed = Linear(patch_dim, config.hidden_size, bias=config.bias)
        if config.cond_channels:  # a layer of its own at zero: a model trained without it starts unchanged
            cond_dim = config.cond_channels * math.prod(config.patch)
            self.cond_embed = ZeroLinear(cond_dim, config.hidden_size)
        if config.positions != "rotary":
            self.pos_embed = FactorizedPosEmbed(config.max_positions, config.hidden_size, config.position_std)
        self.t_embedder = AdaLNSingle(config.hidden_size, config.time_dim)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.depth))
        self.final_modulation = ScaleShiftTable((0.0, 0.0), config.hidden_size)
        self.proj_out = NormLinear(
            make_norm(config.norm, config.hidden_size),
            ZeroLinear(config.hidden_size, patch_dim, bias=config.bias),
        )

    def forward(
        self,
        x_BCTHW: Tensor,
        t_B: Tensor,
        context: Tensor | ContextCache,
        mask_BL: Tensor | None = None,
        cond_BCTHW: Tensor | None = None,
        aligned_BND: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity [B, C, T, H, W] at a point of the flow.

        Args:
            x_BCTHW: the noisy latent, normalized.
            t_B: flow time in [0, 1]; 0 is noise, 1 is data.
            context: text tokens [B, L, context_dim], or `cache_context(...)` of them.
            mask_BL: bool, True at text tokens that are not padding. A `ContextCache` has its own.
            cond_BCTHW: conditioning of the latent's size, such as first frames and their mask; None: zeros.
            aligned_BND: features for each token, see `TransformerConfig.aligned_features`; None: none.
        """
        patch = self.config.patch
        grid = token_grid(x_BCTHW.shape, patch)
        positions = self._positions([grid], x_BCTHW.device)
        modulation_B6D, final_B2D = self.t_embedder(t_B)
        # Embedded patches join the residual stream, which has the dtype of the weights (float32).
        concatenates = aligned_BND is not None and self.config.aligned_features == "concatenate"
        shards = self._shards((2 if concatenates else 1) * math.prod(grid))
        own = slice(None) if shards is None or concatenates else shards.stream
        x_BND: Tensor = self.patch_embed(to_patches(x_BCTHW, patch)[:, own]).to(modulation_B6D.dtype)
        if cond_BCTHW is not None:
            x_BND = x_BND + self.cond_embed(to_patches(cond_BCTHW, patch)[:, own])
        if isinstance(context, ContextCache):
            mask_BL = context.mask_BL
        num_before = 0
        if aligned_BND is not None and concatenates:
            num_before = aligned_BND.shape[1]
            x_BND, positions = torch.cat([aligned_BND.to(x_BND.dtype), x_BND], 1), positions.repeated()
        elif aligned_BND is not None:
            x_BND = x_BND + aligned_BND[:, own]
        if shards is not None and concatenates:
            x_BND = x_BND[:, shards.stream]
        x_BND = self._run_blocks(x_BND, modulation_B6D, context, mask_BL, positions, shards=shards)
        shift, scale = self.final_modulation(final_B2D)
        out_BNP = self._project_out(x_BND, shift, scale, shards)[:, num_before:]
        return from_patches(out_BNP, grid, patch)

    def forward_packed(
        self,
        videos_CTHW: Sequence[Tensor],
        t_B: Tensor,
        context_BLD: Tensor,
        mask_BL: Tensor | None = None,
    ) -> list[Tensor]:
        """Predict the velocities of videos of different sizes, packed in one row of tokens without padding.

        Args:
            videos_CTHW: noisy latents [C, T, H, W]; the result has the same sizes.
            t_B, context_BLD, mask_BL: one row per video, as in `forward`.
        """
        patch = self.config.patch
        grids = [token_grid(video.shape, patch) for video in videos_CTHW]
        positions = self._positions(grids, t_B.device)
        modulation_B6D, final_B2D = self.t_embedder(t_B)
        tokens_1NP = torch.cat([to_patches(video[None], patch) for video in videos_CTHW], 1)
        context_1SD, text_lengths = pack_text(context_BLD, mask_BL)
        shards = self._shards(tokens_1NP.shape[1])
        packing = Packing(tuple(math.prod(grid) for grid in grids), text_lengths, shards)
        if shards is not None:
            tokens_1NP = tokens_1NP[:, shards.stream]
        x_1ND: Tensor = self.patch_embed(tokens_1NP).to(modulation_B6D.dtype)
        x_1ND = self._run_blocks(x_1ND, modulation_B6D, context_1SD, None, positions, packing, shards)
        shift, scale = (packing.per_token(each) for each in self.final_modulation(final_B2D))
        out_1NP = self._project_out(x_1ND, shift, scale, shards)
        parts = zip(out_1NP.split(packing.media, 1), grids, strict=True)
        return [from_patches(part, grid, patch)[0] for part, grid in parts]

    def _shards(self, num_tokens: int) -> TokenShards | None:
        return None if self.cut_tokens is None else self.cut_tokens(num_tokens)

    def _project_out(self, x_BND: Tensor, shift: Tensor, scale: Tensor, shards: TokenShards | None) -> Tensor:
        """Return the velocity of every token; of all processes that share a sample's."""
        out_BNP: Tensor = self.proj_out(x_BND, shift, scale)
        return out_BNP if shards is None else shards.gather_tokens(out_BNP)

    def _positions(self, grids: Sequence[tuple[int, int, int]], device: torch.device) -> Positions:
        """Return the positions of the tokens of some grids, one after the other."""
        if self.config.positions != "rotary":
            return Positions(torch.cat([self.pos_embed(grid) for grid in grids]), None)
        head_dim = self.config.hidden_size // self.config.num_heads
        rotations = [rotation(math.prod(grid), head_dim, device) for grid in grids]
        cos, sin = (torch.cat(parts) for parts in zip(*rotations, strict=True))
        return Positions(None, (cos, sin))

    def _run_blocks(
        self,
        x_BND: Tensor,
        modulation_B6D: Tensor,
        context: Tensor | ContextCache,
        mask_BL: Tensor | None,
        positions: Positions,
        packing: Packing | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        positions = positions.local(shards)
        for index, block in enumerate(self.blocks):
            text = context.keys_values[index] if isinstance(context, ContextCache) else context
            pos_embed = positions.embed_ND if index == 0 or self.config.positions == "every" else None
            args = (x_BND, modulation_B6D, text, mask_BL, pos_embed, packing, positions.rotation, shards)
            if self.training and index < self.config.num_checkpointed_blocks:
                x_BND = run_checkpointed(block, self.config, *args)
            else:
                x_BND = block(*args)
        return x_BND

    def cache_context(self, context_BLD: Tensor, mask_BL: Tensor | None = None) -> ContextCache:
        """Compute the text's keys and values of every block; they depend on neither time nor latent."""
        attentions = [cast(TransformerBlock, block).cross_attention for block in self.blocks]
        return ContextCache(tuple(each.keys_values(context_BLD) for each in attentions), mask_BL)

    def shard_groups(self) -> list[nn.Module]:
        """Return the submodules to shard one by one, in order of use; the root shards the rest."""
        return list(self.blocks)

    def tensor_parallel_layers(self) -> dict[nn.Module, Literal["rows", "columns"]]:
        """Return the layers that several processes share, by how their weights [out, in] are cut.

        "rows": each process computes some of the outputs, complete heads or matching gates and values.
        "columns": each has some of the inputs, and the outputs are summed over processes.
        """
        layers: dict[nn.Module, Literal["rows", "columns"]] = {}
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            own, text, ffn = block.attention, block.cross_attention, block.ffn
            up = ffn.gate_up if isinstance(ffn, SwiGLU) else cast(MLP, ffn).up
            layers |= dict.fromkeys((own.qkv.linear, text.query.linear, text.key_value, up.linear), "rows")
            layers |= dict.fromkeys((own.out, text.out, cast(SwiGLU | MLP, ffn).down), "columns")
        return layers

    def num_tokens(self, shape: tuple[int, ...]) -> int:
        """Return the number of media tokens of a latent [..., T, H, W]."""
        return math.prod(token_grid(shape, self.config.patch))
