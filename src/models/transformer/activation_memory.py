"""Memory of checkpointed blocks until the backward pass: their input, and outputs that are costly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from src.models.transformer.config import TransformerConfig

aten = torch.ops.aten
HOST = torch.device("cpu")

# Costly to compute again, by torch's names; all else is norms, gates and activations.
ATTENTION = {
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}
PRODUCTS = {aten.mm.default, aten.addmm.default, aten.bmm.default, aten.baddbmm.default}
FLASH_ATTENTION = ("flash_attn::_flash_attn_forward", "flash_attn::_flash_attn_varlen_forward")


def run_checkpointed(
    block: Callable[..., Tensor], config: TransformerConfig, x: Tensor, *args: Any
) -> Tensor:
    """Call a block on tokens and more, with activation checkpointing as the config has it."""
    context: dict[str, Any] = {}
    if config.checkpoints_keep != "nothing":
        policy = partial(_policy, with_products=config.checkpoints_keep == "products")
        context["context_fn"] = partial(create_selective_checkpoint_contexts, policy)
    with in_host_memory(x) if config.offload_checkpoints else nullcontext():
        out: Tensor = checkpoint(block, x, *args, use_reentrant=False, **context)
    return out


def _policy(
    _: SelectiveCheckpointContext, op: Any, *args: Any, with_products: bool, **kwargs: Any
) -> CheckpointPolicy:
    kept = op in ATTENTION or op.name().split(".")[0] in FLASH_ATTENTION or (with_products and op in PRODUCTS)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


@contextmanager
def in_host_memory(x: Tensor) -> Iterator[None]:
    """Keep the one tensor in host memory until the backward pass; copies queue behind the device's work."""
    # Not x itself: the hooks live as long as the graph.
    shape, storage = x.shape, x.untyped_storage()._cdata

    def pack(saved: Tensor) -> Tensor | tuple[torch.device, Tensor]:
        if saved.shape != shape or saved.untyped_storage()._cdata != storage:
            return saved
        host = torch.empty(saved.shape, dtype=saved.dtype, device=HOST, pin_memory=saved.is_cuda)
        return saved.device, host.copy_(saved, non_blocking=True)

    def unpack(kept: Tensor | tuple[torch.device, Tensor]) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        device, host = kept
        return host.to(device, non_blocking=True)

    with saved_tensors_hooks(pack, unpack):
        yield
