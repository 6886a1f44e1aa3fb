"""Our transformer and diffusers' at equal width, heads, layers, tokens, text and FLOPs of the feed-forward.

Heads of 64, latents of 16 channels in patches of 1x2x2, text of 77 tokens of 256 numbers that each model
projects itself. Peers' feed-forward networks are MLPs of 4 widths, ours and Mochi's SwiGLU of 8/3, which is
as many FLOPs. HunyuanVideo's blocks are one third two-stream, two thirds one-stream, as in its release. The
attainable peak is our block's matrix products and attentions alone.

Shapes: B batch, C channels, T frames, H rows, W columns; L text tokens, D width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.nn.attention import attend
from src.models.nn.layers import Linear
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

HEAD_DIM, CHANNELS, PATCH, PATCH_DIM = 64, 16, (1, 2, 2), 64
TEXT_TOKENS, TEXT_DIM = 77, 256
GRIDS = {256: (4, 8, 8), 1024: (4, 16, 16), 4096: (16, 16, 16)}  # tokens -> (T, H, W) of tokens
OURS, ATTAINABLE = "ours", "attainable"
TIMES = "times"  # the case in which all models take turns
PEERS = ("Wan", "CogVideoX", "HunyuanVideo", "LTX", "Mochi")


@dataclass(frozen=True)
class Size:
    """What all models have in common."""

    width: int
    layers: int
    tokens: int

    @property
    def heads(self) -> int:
        return self.width // HEAD_DIM

    @property
    def swiglu(self) -> int:
        """Hidden dimension of a SwiGLU with the FLOPs of an MLP of 4 widths."""
        return self.width * 8 // 3 // 8 * 8

    @property
    def latent(self) -> tuple[int, int, int]:
        t, h, w = GRIDS[self.tokens]
        return t * PATCH[0], h * PATCH[1], w * PATCH[2]


class OurVideo(nn.Module):
    """The transformer and the projection of its text, which the peers have inside."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.text = Linear(TEXT_DIM, size.width)
        self.text_norm = nn.LayerNorm(size.width)
        self.transformer = MediaTransformer(
            TransformerConfig(
                width=size.width,
                layers=size.layers,
                heads=size.heads,
                ffn=size.swiglu,
                context_dim=size.width,
                max_positions=GRIDS[size.tokens],
            )
        )

    def enable_gradient_checkpointing(self) -> None:
        """As diffusers names it: every block is recomputed."""
        self._checkpoint(self.transformer.config.layers)

    def disable_gradient_checkpointing(self) -> None:
        self._checkpoint(0)

    def _checkpoint(self, blocks: int) -> None:
        self.transformer.config = replace(self.transformer.config, num_checkpointed_blocks=blocks)

    def context(self, text_BLD: Tensor) -> Tensor:
        return self.text_norm(self.text(text_BLD))

    def forward(self, x_BCTHW: Tensor, t_B: Tensor, text_BLD: Tensor) -> Tensor:
        return self.transformer(x_BCTHW, t_B, self.context(text_BLD))


class Products(nn.Module):
    """The matrix products and attentions of our model, each on tensors of its own: what nothing can beat.

    Gradients are taken towards inputs and weights, as training needs them.
    """

    def __init__(self, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        n, d, f = size.tokens, size.width, size.swiglu
        block = [
            (n, d, 3 * d),
            (n, d, d),
            (n, d, d),
            (TEXT_TOKENS, d, 2 * d),
            (n, d, d),
            (n, d, 2 * f),
            (n, f, d),
        ]
        shapes = [(n, PATCH_DIM, d), *(block * size.layers), (n, d, PATCH_DIM)]

        def tensor(*shape: int) -> Tensor:
            return torch.randn(shape, dtype=dtype).requires_grad_()

        inputs = {(n, i): tensor(1, n, i) for n, i, _ in shapes}  # shared: only the weights differ
        products = [(F.linear, (inputs[n, i], tensor(o, i))) for n, i, o in shapes]
        q, k, v = (tensor(1, n, size.heads, HEAD_DIM) for _ in range(3))
        text_k, text_v = (tensor(1, TEXT_TOKENS, size.heads, HEAD_DIM) for _ in range(2))
        attentions = [(attend, each) for each in ((q, k, v), (q, text_k, text_v))]
        self.calls: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = (
            products + attentions * size.layers
        )

    def forward(self) -> None:
        for call, given in self.calls:
            call(*given)

    def backward(self) -> None:
        """Each operation, and its gradients at once."""
        for call, given in self.calls:
            out = call(*given)
            torch.autograd.grad(out, given, out.detach())


def build(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module, Callable[[], Tensor]]:
    """A model in training mode and its call for one film; the velocity has 64 numbers for each token.

    It is made in its type: one made in float32 and then cast leaves memory behind, more the larger it is.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if name == OURS:
            net = OurVideo(size)
            film, text = torch.randn(1, CHANNELS, *size.latent), text_of(1, dtype)
            return net, lambda: net(film, torch.tensor([0.5]), text)
        peer, given = build_peer(name, size, dtype)
        peer.to(dtype)  # tables of positions that have a type of their own
        return peer.train(), lambda: peer(**given, return_dict=False)[0]
    finally:
        torch.set_default_dtype(before)


def text_of(batch: int, dtype: torch.dtype) -> Tensor:
    """A text's embeddings [B, L, D]."""
    return torch.randn(batch, TEXT_TOKENS, TEXT_DIM, dtype=dtype)


def build_peer(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """A diffusers model and the arguments of its call for one film."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    (t, h, w), heads = size.latent, size.heads
    film = torch.randn(1, CHANNELS, t, h, w, dtype=dtype)
    every = {"num_attention_heads": heads, "attention_head_dim": HEAD_DIM, "in_channels": CHANNELS}
    text = {"encoder_hidden_states": text_of(1, dtype), "timestep": torch.tensor([500])}
    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.bool)
    if name == "Wan":
        net = diffusers.WanTransformer3DModel(
            **every, out_channels=CHANNELS, patch_size=PATCH, num_layers=size.layers, ffn_dim=4 * size.width,
            text_dim=TEXT_DIM, freq_dim=256, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        )  # fmt: skip
        return net, {**text, "hidden_states": film}
    if name == "CogVideoX":
        net = diffusers.CogVideoXTransformer3DModel(
            **every, out_channels=CHANNELS, patch_size=2, num_layers=size.layers, time_embed_dim=512,
            text_embed_dim=TEXT_DIM, max_text_seq_length=TEXT_TOKENS, sample_width=w, sample_height=h,
            sample_frames=(t - 1) * 4 + 1,
        )  # fmt: skip
        return net, {**text, "hidden_states": film.transpose(1, 2)}
    if name == "HunyuanVideo":
        two = size.layers // 3
        net = diffusers.HunyuanVideoTransformer3DModel(
            **every, out_channels=CHANNELS, patch_size=2, patch_size_t=1, num_layers=two,
            num_single_layers=size.layers - two, num_refiner_layers=1, guidance_embeds=True,
            text_embed_dim=TEXT_DIM, pooled_projection_dim=64,
            rope_axes_dim=(HEAD_DIM // 4, HEAD_DIM * 3 // 8, HEAD_DIM * 3 // 8),
        )  # fmt: skip
        pooled = {
            "pooled_projections": torch.randn(1, 64, dtype=dtype),
            "guidance": torch.tensor([6e3], dtype=dtype),
        }
        return net, {**text, **pooled, "hidden_states": film, "encoder_attention_mask": mask.to(dtype)}
    if name == "LTX":
        every |= {"in_channels": 4 * CHANNELS, "out_channels": 4 * CHANNELS}
        net = diffusers.LTXVideoTransformer3DModel(
            **every, patch_size=1, patch_size_t=1, cross_attention_dim=size.width, num_layers=size.layers,
            caption_channels=TEXT_DIM,
        )  # fmt: skip
        tokens = torch.randn(1, size.tokens, 4 * CHANNELS, dtype=dtype)
        grid = dict(zip(("num_frames", "height", "width"), GRIDS[size.tokens], strict=True))
        return net, {**text, **grid, "hidden_states": tokens, "encoder_attention_mask": mask}
    net = diffusers.MochiTransformer3DModel(
        **every, patch_size=2, num_layers=size.layers, pooled_projection_dim=size.width // 2,
        text_embed_dim=TEXT_DIM, time_embed_dim=256,
    )  # fmt: skip
    return net, {**text, "hidden_states": film, "encoder_attention_mask": mask}
