"""Our transformer and those of diffusers at equal hidden size, heads, depth, tokens, text and FFN FLOPs.

Head dimension 64, latents of 16 channels in patches of 1x2x2, a text of 77 tokens of dimension 256 that
each model projects itself. FFNs of the peers are MLPs of 4 hidden sizes, those of ours and Mochi SwiGLUs of
8/3, which has equal FLOPs. HunyuanVideo has one third two-stream and two thirds one-stream blocks, as
released. The attainable peak is the matrix products and attentions of our blocks alone.

Shapes: B batch, C channels, T frames, H rows, W columns; L text tokens, D hidden size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.nn.attention import attention
from src.models.nn.layers import Linear
from src.models.transformer.config import TransformerConfig
from src.models.transformer.model import MediaTransformer

HEAD_DIM, CHANNELS, PATCH, PATCH_DIM = 64, 16, (1, 2, 2), 64
TEXT_TOKENS, TEXT_DIM = 77, 256
GRIDS = {256: (4, 8, 8), 1024: (4, 16, 16), 4096: (16, 16, 16)}  # tokens -> (T, H, W) of tokens
OURS, ATTAINABLE = "ours", "attainable"
TIMES = "times"  # the case in which all models are timed, interleaved
PEERS = ("Wan", "CogVideoX", "HunyuanVideo", "LTX", "Mochi")


@dataclass(frozen=True)
class Size:
    """Size that all models have in common."""

    width: int
    layers: int
    tokens: int

    @property
    def heads(self) -> int:
        return self.width // HEAD_DIM

    @property
    def swiglu(self) -> int:
        """Hidden dimension of a SwiGLU with the FLOPs of an MLP of 4 hidden sizes."""
        return self.width * 8 // 3 // 8 * 8

    @property
    def latent(self) -> tuple[int, int, int]:
        t, h, w = GRIDS[self.tokens]
        return t * PATCH[0], h * PATCH[1], w * PATCH[2]


class OurVideo(nn.Module):
    """The transformer with a projection of the text, which the peers include."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.text = Linear(TEXT_DIM, size.width)
        self.text_norm = nn.LayerNorm(size.width)
        self.transformer = MediaTransformer(
            TransformerConfig(
                hidden_size=size.width,
                depth=size.layers,
                num_heads=size.heads,
                ffn_dim=size.swiglu,
                context_dim=size.width,
                max_positions=GRIDS[size.tokens],
            )
        )

    def enable_gradient_checkpointing(self) -> None:
        """Checkpoint every block; named as in diffusers."""
        self._checkpoint(self.transformer.config.depth)

    def disable_gradient_checkpointing(self) -> None:
        self._checkpoint(0)

    def _checkpoint(self, blocks: int) -> None:
        self.transformer.config = replace(self.transformer.config, num_checkpointed_blocks=blocks)

    def context(self, text_BLD: Tensor) -> Tensor:
        return self.text_norm(self.text(text_BLD))

    def forward(self, x_BCTHW: Tensor, t_B: Tensor, text_BLD: Tensor) -> Tensor:
        return self.transformer(x_BCTHW, t_B, self.context(text_BLD))


class AttainablePeak(nn.Module):
    """The matrix products and attentions of our model alone: a lower bound of its time.

    Gradients are computed for inputs and weights, as in training.
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

        inputs = {(n, i): tensor(1, n, i) for n, i, _ in shapes}  # shared inputs: only the weights differ
        products = [(F.linear, (inputs[n, i], tensor(o, i))) for n, i, o in shapes]
        q, k, v = (tensor(1, n, size.heads, HEAD_DIM) for _ in range(3))
        text_k, text_v = (tensor(1, TEXT_TOKENS, size.heads, HEAD_DIM) for _ in range(2))
        attentions = [(attention, each) for each in ((q, k, v), (q, text_k, text_v))]
        self.calls: list[tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = (
            products + attentions * size.layers
        )

    def forward(self) -> None:
        for call, args in self.calls:
            call(*args)

    def backward(self) -> None:
        """Run each operation and its backward pass."""
        for call, args in self.calls:
            out = call(*args)
            torch.autograd.grad(out, args, out.detach())


def build(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module, Callable[[], Tensor]]:
    """Return a model in training mode and its call for one video; the velocity has 64 values per token.

    The model is created in its dtype: one that is cast from float32 leaves freed memory in the heap.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        if name == OURS:
            net = OurVideo(size)
            video, text = torch.randn(1, CHANNELS, *size.latent), random_text(1, dtype)
            return net, lambda: net(video, torch.tensor([0.5]), text)
        peer, kwargs = build_peer(name, size, dtype)
        peer.to(dtype)  # position tables are float32 by default
        return peer.train(), lambda: peer(**kwargs, return_dict=False)[0]
    finally:
        torch.set_default_dtype(before)


def random_text(batch: int, dtype: torch.dtype) -> Tensor:
    """Return random text embeddings [B, L, D]."""
    return torch.randn(batch, TEXT_TOKENS, TEXT_DIM, dtype=dtype)


def build_peer(name: str, size: Size, dtype: torch.dtype) -> tuple[nn.Module, dict[str, Any]]:
    """Return a model of diffusers and the arguments of its call for one video."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    (t, h, w), heads = size.latent, size.heads
    video = torch.randn(1, CHANNELS, t, h, w, dtype=dtype)
    shared = {"num_attention_heads": heads, "attention_head_dim": HEAD_DIM, "in_channels": CHANNELS}
    text = {"encoder_hidden_states": random_text(1, dtype), "timestep": torch.tensor([500])}
    mask = torch.ones(1, TEXT_TOKENS, dtype=torch.bool)
    if name == "Wan":
        net = diffusers.WanTransformer3DModel(
            **shared, out_channels=CHANNELS, patch_size=PATCH, num_layers=size.layers, ffn_dim=4 * size.width,
            text_dim=TEXT_DIM, freq_dim=256, cross_attn_norm=True, qk_norm="rms_norm_across_heads",
        )  # fmt: skip
        return net, {**text, "hidden_states": video}
    if name == "CogVideoX":
        net = diffusers.CogVideoXTransformer3DModel(
            **shared, out_channels=CHANNELS, patch_size=2, num_layers=size.layers, time_embed_dim=512,
            text_embed_dim=TEXT_DIM, max_text_seq_length=TEXT_TOKENS, sample_width=w, sample_height=h,
            sample_frames=(t - 1) * 4 + 1,
        )  # fmt: skip
        return net, {**text, "hidden_states": video.transpose(1, 2)}
    if name == "HunyuanVideo":
        two = size.layers // 3
        net = diffusers.HunyuanVideoTransformer3DModel(
            **shared, out_channels=CHANNELS, patch_size=2, patch_size_t=1, num_layers=two,
            num_single_layers=size.layers - two, num_refiner_layers=1, guidance_embeds=True,
            text_embed_dim=TEXT_DIM, pooled_projection_dim=64,
            rope_axes_dim=(HEAD_DIM // 4, HEAD_DIM * 3 // 8, HEAD_DIM * 3 // 8),
        )  # fmt: skip
        pooled = {
            "pooled_projections": torch.randn(1, 64, dtype=dtype),
            "guidance": torch.tensor([6e3], dtype=dtype),
        }
        return net, {**text, **pooled, "hidden_states": video, "encoder_attention_mask": mask.to(dtype)}
    if name == "LTX":
        shared |= {"in_channels": 4 * CHANNELS, "out_channels": 4 * CHANNELS}
        net = diffusers.LTXVideoTransformer3DModel(
            **shared, patch_size=1, patch_size_t=1, cross_attention_dim=size.width, num_layers=size.layers,
            caption_channels=TEXT_DIM,
        )  # fmt: skip
        tokens = torch.randn(1, size.tokens, 4 * CHANNELS, dtype=dtype)
        grid = dict(zip(("num_frames", "height", "width"), GRIDS[size.tokens], strict=True))
        return net, {**text, **grid, "hidden_states": tokens, "encoder_attention_mask": mask}
    net = diffusers.MochiTransformer3DModel(
        **shared, patch_size=2, num_layers=size.layers, pooled_projection_dim=size.width // 2,
        text_embed_dim=TEXT_DIM, time_embed_dim=256,
    )  # fmt: skip
    return net, {**text, "hidden_states": video, "encoder_attention_mask": mask}
