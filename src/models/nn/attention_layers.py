"""Multi-head self- and cross-attention, with their projections.

Shapes: B batch, N media tokens, L text tokens, H heads, D model dimension (after H: head dimension).
"""

from dataclasses import dataclass

from torch import Tensor, nn

from src.models.nn.attention import attention, varlen_attention
from src.models.nn.config import AttentionBackend
from src.models.nn.layers import Linear, NormLinear, ZeroLinear, exchanges, make_qk_norms, summed_linear
from src.models.nn.rotary import Rotation, rotate
from src.models.nn.token_shards import TokenShards

Lengths = tuple[int, ...]  # number of tokens of each sample of a packed row


@dataclass(frozen=True)
class PackedLengths:
    """Numbers of queries and keys of each of several samples, one after the other in a single row (B = 1).

    Keys of the row before `first_key`, and behind the last sample's, belong to samples without queries here.
    """

    queries: Lengths
    keys: Lengths
    first_key: int = 0

    def attend(self, q_1NHD: Tensor, k_1SHD: Tensor, v_1SHD: Tensor, backend: AttentionBackend) -> Tensor:
        """Return the attention within each sample, [1, N, H, D]."""
        own = slice(self.first_key, self.first_key + sum(self.keys))
        arrays = q_1NHD[0], k_1SHD[0, own], v_1SHD[0, own]
        return varlen_attention(*arrays, self.queries, self.keys, backend=backend)[None]


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
        lengths: PackedLengths | None = None,
        rotation: Rotation | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        """Attend within norm(x) * (1 + scale) + shift.

        Args:
            mask_BN: bool, True where a token may be attended to.
            lengths: of the samples packed in a single row (B = 1); None: each row is a sample.
            rotation: of the tokens by their positions; None: no rotary positions.
            shards: of the tokens; x and the result are this process's stream, `rotation` that of its queries.
        """
        gather, reduce = exchanges(shards)
        q, k, v = self.qkv(x_BND, shift, scale, gather).unflatten(-1, (-1, 3, self.head_dim)).unbind(-2)
        q, k = self.query_norm(q), self.key_norm(k)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if shards is not None:
            k, v = shards.gather_keys_values(k, v)
        if lengths is None:
            attended = attention(q, k, v, mask_BN, backend=self.backend)
        else:
            attended = lengths.attend(q, k, v, self.backend)
        return summed_linear(self.out, attended.flatten(-2), reduce)


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
        lengths: PackedLengths | None = None,
        shards: TokenShards | None = None,
    ) -> Tensor:
        """Attend from norm(x) to the text.

        Args:
            mask_BL: bool, True where a text token may be attended to.
            lengths: numbers of media tokens and of text tokens of the samples packed in a single row.
            shards: of the media tokens; every process has the entire text.
        """
        gather, reduce = exchanges(shards)
        q = self.query_norm(self.query(x_BND, gather=gather).unflatten(-1, (-1, self.head_dim)))
        k, v = keys_values
        if lengths is None:
            attended = attention(q, k, v, mask_BL, backend=self.backend)
        else:
            attended = lengths.attend(q, k, v, self.backend)
        return summed_linear(self.out, attended.flatten(-2), reduce)
