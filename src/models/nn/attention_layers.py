"""Multi-head self- and cross-attention, with their projections.

Shapes: B batch, N media tokens, L text tokens, H heads, D model dimension (after H: head dimension).
"""

from torch import Tensor, nn

from src.models.nn.attention import attention, varlen_attention
from src.models.nn.config import AttentionBackend
from src.models.nn.layers import Linear, NormLinear, ZeroLinear, make_qk_norms
from src.models.nn.rotary import Rotation, rotate

Lengths = tuple[int, ...]  # number of tokens of each sample of a packed row


class SelfAttention(nn.Module):
    """Multi-head attention among the tokens of a sample, with a pre-norm; one matrix product for q, k and v.

    The fused rows are ordered (head, q|k|v, dim): equal cuts hold complete heads (tensor parallelism).
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        norm: nn.Module | None = None,
        bias: bool = False,
        backend: AttentionBackend = "auto",
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        self.backend: AttentionBackend = backend
        self.qkv = NormLinear(norm or nn.Identity(), Linear(dim, 3 * dim, bias=bias))
        self.out = Linear(dim, dim, bias=bias)
        self.query_norm, self.key_norm = make_qk_norms(qk_norm, self.head_dim)

    def forward(
        self,
        x_BND: Tensor,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        *,
        mask_BN: Tensor | None = None,
        lengths: Lengths | None = None,
        rotation: Rotation | None = None,
    ) -> Tensor:
        """Attend within norm(x) * (1 + scale) + shift.

        Args:
            mask_BN: bool, True where a token may be attended to.
            lengths: of the samples packed in a single row (B = 1); None: each row is a sample.
            rotation: of the tokens by their positions; None: no rotary positions.
        """
        q, k, v = self.qkv(x_BND, shift, scale).unflatten(-1, (-1, 3, self.head_dim)).unbind(-2)
        q, k = self.query_norm(q), self.key_norm(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if lengths is None:
            attended = attention(q, k, v, mask_BN, backend=self.backend)
        else:
            attended = varlen_attention(q[0], k[0], v[0], lengths, lengths, backend=self.backend)[None]
        out: Tensor = self.out(attended.flatten(-2))
        return out


class CrossAttention(nn.Module):
    """Media tokens, after a pre-norm, attend to text tokens.

    Keys and values do not depend on the flow time, so sampling caches them.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        context_dim: int,
        *,
        norm: nn.Module | None = None,
        bias: bool = False,
        backend: AttentionBackend = "auto",
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.head_dim = dim // num_heads
        self.backend: AttentionBackend = backend
        self.query = NormLinear(norm or nn.Identity(), Linear(dim, dim, bias=bias))
        self.key_value = Linear(context_dim, 2 * dim, bias=bias)
        self.out = ZeroLinear(dim, dim, bias=bias)
        self.query_norm, self.key_norm = make_qk_norms(qk_norm, self.head_dim)

    def keys_values(self, context_BLD: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values [B, L, H, D] of the text."""
        k, v = self.key_value(context_BLD).unflatten(-1, (-1, 2, self.head_dim)).unbind(-2)
        return self.key_norm(k), v

    def forward(
        self,
        x_BND: Tensor,
        keys_values: tuple[Tensor, Tensor],
        *,
        mask_BL: Tensor | None = None,
        lengths: tuple[Lengths, Lengths] | None = None,
    ) -> Tensor:
        """Attend from norm(x) to the text.

        Args:
            mask_BL: bool, True where a text token may be attended to.
            lengths: numbers of media tokens and of text tokens of the samples packed in a single row.
        """
        q = self.query_norm(self.query(x_BND).unflatten(-1, (-1, self.head_dim)))
        k, v = keys_values
        if lengths is None:
            attended = attention(q, k, v, mask_BL, backend=self.backend)
        else:
            attended = varlen_attention(q[0], k[0], v[0], *lengths, backend=self.backend)[None]
        out: Tensor = self.out(attended.flatten(-2))
        return out
