"""Linear layers, norms and feed-forward networks of the transformers.

Shapes: B batch, L tokens, D model dimension, F hidden dimension.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from src.models.nn import fused_linear
from src.models.nn.fused_linear import GATE_GROUPS, split_gate_up
from src.models.nn.token_shards import TokenShards

NORM_EPS = 1e-5
Exchange = Callable[[Tensor], Tensor]  # between processes that share tokens, see `token_shards`
FUSED = True  # False: plain autograd everywhere, the same values for more memory


class Linear(nn.Linear):
    """A linear layer initialized with variance 1 / in_features; the bias at zero."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.in_features))
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ZeroLinear(Linear):
    """A linear layer initialized at zero, so that the branch it ends contributes nothing at first."""

    def reset_parameters(self) -> None:
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class RMSNorm(nn.RMSNorm):
    """RMSNorm with a learned gain, in the dtype of its input."""

    def __init__(self, dim: int, eps: float = NORM_EPS) -> None:
        super().__init__(dim, eps=eps)
        self.eps: float = eps

    def forward(self, x: Tensor) -> Tensor:
        return fused_linear.rms_norm(x, self.weight, self.eps)


def make_norm(kind: str, dim: int) -> nn.Module:
    """Return an RMSNorm with a learned gain (rms, LLaMa3) or a LayerNorm without parameters (layer, DiT)."""
    if kind == "rms":
        return RMSNorm(dim)
    return nn.LayerNorm(dim, eps=NORM_EPS, elementwise_affine=False)


def make_qk_norms(enabled: bool, head_dim: int) -> tuple[nn.Module, nn.Module]:
    """Return norms of queries and keys per head, which bound the logits; identities if not `enabled`."""
    if not enabled:
        return nn.Identity(), nn.Identity()
    return RMSNorm(head_dim), RMSNorm(head_dim)


def exchanges(shards: TokenShards | None) -> tuple[Exchange | None, Exchange | None]:
    """Return what goes before the first and after the last product of a branch, where tokens are shared."""
    return (None, None) if shards is None else (shards.gather_queries, shards.reduce_queries)


def modulate(x_BLD: Tensor, shift: Tensor | None, scale: Tensor | None) -> Tensor:
    """Return x * (1 + scale) + shift; x itself without them.

    Args:
        shift, scale: [B, 1, D] or [B, L, D]; both or neither.
    """
    return x_BLD if shift is None or scale is None else torch.addcmul(x_BLD + shift, x_BLD, scale)


class NormLinear(nn.Module):
    """A norm, optionally modulated, and the linear layer that follows it.

    Fused where both are our own and nothing observes or replaces them: a hook, a LoRA wrapper or a quantized
    weight gets the plain path, in which a tensor passes through each module.
    """

    def __init__(self, norm: nn.Module, linear: nn.Module) -> None:
        super().__init__()
        self.norm, self.linear = norm, linear

    def forward(
        self,
        x_BLD: Tensor,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        gather: Exchange | None = None,
    ) -> Tensor:
        """Return linear(norm(x) * (1 + scale) + shift); `gather` is applied to the linear layer's input."""
        norm, linear = self.norm, self.linear
        if gather is not None:
            gathered: Tensor = linear(gather(modulate(norm(x_BLD), shift, scale)))
            return gathered
        if (
            isinstance(norm, RMSNorm)
            and isinstance(linear, Linear)
            and is_fusible(norm)
            and is_fusible(linear)
        ):
            return fused_linear.rms_norm_linear(
                x_BLD, norm.weight, shift, scale, norm.eps, linear.weight, linear.bias
            )
        out: Tensor = linear(modulate(norm(x_BLD), shift, scale))
        return out


def is_fusible(module: nn.Module) -> bool:
    """Return whether a fused function may read a module's parameters instead of calling the module."""
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    plain_type = getattr(module, "plain_type", type(module))  # of a layer whose weight is cut
    if not FUSED or plain_type not in (RMSNorm, Linear, ZeroLinear) or any(hooks):
        return False
    # DTensors and quantized weights implement F.linear, not the products of the fused backward pass.
    weights = (module.weight, getattr(module, "bias", None))
    return not any(is_traceable_wrapper_subclass(each) for each in weights if each is not None)


def summed_linear(linear: nn.Module, x: Tensor, reduce: Exchange | None) -> Tensor:
    """Return linear(x); with `reduce` the sum over processes that each have part of x and of the weight."""
    if reduce is None:
        out: Tensor = linear(x)
        return out
    if not isinstance(linear, nn.Linear):
        return reduce(linear(x))
    return add_bias(reduce(F.linear(x, linear.weight)), linear.bias)


def add_bias(x: Tensor, bias: Tensor | None) -> Tensor:
    """Add a bias in the dtype of x, as a linear layer does under autocast."""
    return x if bias is None else x + bias.to(x.dtype)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) after an optional norm, with gate and up in one matrix product.

    Rows of gate and up alternate in 8 groups, so that cutting the fused matrix into 2, 4 or 8 equal parts
    (tensor parallelism) gives every rank matching rows of both.
    """

    def __init__(
        self, dim: int, hidden_dim: int, *, norm: nn.Module | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        self.gate_up = NormLinear(norm or nn.Identity(), Linear(dim, 2 * hidden_dim, bias=bias))
        self.down = Linear(hidden_dim, dim, bias=bias)
        self.num_groups = GATE_GROUPS  # of this process

    def forward(
        self,
        x_BLD: Tensor,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        """Apply to norm(x) * (1 + scale) + shift."""
        gather, reduce = exchanges(shards)
        gate_up: Tensor = self.gate_up(x_BLD, shift, scale, gather)
        if isinstance(self.down, Linear) and is_fusible(self.down):
            weight, bias = self.down.weight, self.down.bias
            if reduce is None:
                return fused_linear.swiglu_linear(gate_up, weight, bias, self.num_groups)
            return add_bias(reduce(fused_linear.swiglu_linear(gate_up, weight, None, self.num_groups)), bias)
        gate, up = split_gate_up(gate_up, self.num_groups)
        return summed_linear(self.down, (F.silu(gate) * up).flatten(-2), reduce)


class MLP(nn.Module):
    """down(activation(up(x))) after an optional norm, the feed-forward network of the DiT block."""

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        *,
        activation: str,
        norm: nn.Module | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.up = NormLinear(norm or nn.Identity(), Linear(dim, hidden_dim, bias=bias))
        self.down = Linear(hidden_dim, dim, bias=bias)

    def forward(
        self,
        x_BLD: Tensor,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        """Apply to norm(x) * (1 + scale) + shift."""
        gather, reduce = exchanges(shards)
        hidden: Tensor = self.up(x_BLD, shift, scale, gather)
        hidden = F.silu(hidden) if self.activation == "silu" else F.gelu(hidden, approximate="tanh")
        return summed_linear(self.down, hidden, reduce)


def make_ffn(kind: str, dim: int, hidden_dim: int, *, norm: nn.Module, bias: bool) -> nn.Module:
    """Return the feed-forward network of a kind, swiglu, silu or gelu, with its pre-norm."""
    if kind == "swiglu":
        return SwiGLU(dim, hidden_dim, norm=norm, bias=bias)
    return MLP(dim, hidden_dim, activation=kind, norm=norm, bias=bias)
