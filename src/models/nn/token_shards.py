"""Interface of layers to processes that share the tokens of a sample; implemented in `src.parallel`.

Movie Gen, sec. 3.1.6. The row of N tokens is cut twice: between the processes of context parallelism, whose
part are the *queries* of one process, and each part again between those of tensor parallelism, whose part
flows through norms and residual connections, the *stream*.

Shapes: B batch, N all tokens of a row, n this process's, H heads, D model dimension (after H: of a head).
"""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor


class TokenShards(Protocol):
    """This process's part of a row of tokens, and the exchange with the processes that have the others."""

    @property
    def queries(self) -> slice:
        """Return the tokens whose queries this process computes."""

    @property
    def stream(self) -> slice:
        """Return the tokens that this process keeps between attention and feed-forward: part of `queries`."""

    def gather_queries(self, x_BnD: Tensor) -> Tensor:
        """Return the tokens of `queries`, of which each process has its `stream`."""

    def reduce_queries(self, x_BnD: Tensor) -> Tensor:
        """Sum what processes computed for `queries`; return this process's `stream`."""

    def gather_keys_values(self, k_BnHD: Tensor, v_BnHD: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of all tokens, of which each process has its `queries`."""

    def gather_tokens(self, x_BnD: Tensor) -> Tensor:
        """Return all tokens, of which each process has its `stream`, to compute the same loss from."""


CutTokens = Callable[[int], TokenShards]  # given the number of tokens of a row
