"""Muon: momentum with an orthogonalized direction, for hidden matrices and kernels; AdamW for the rest.

A step moves all directions of a matrix equally far, for any spectrum of the gradient. At the few hundred
steps that a laptop affords it reaches a lower loss than AdamW (docs/decisions/0003). Movie Gen does not use
it: a switch for runs of minutes. Jordan et al. 2024; the size of a step is matched to AdamW's as in Liu et
al. 2025 (arXiv 2502.16982), so that one learning rate serves both.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from src.parallel.fsdp import full_tensor, own_shard, to_local
from src.training.optim.adamw import AdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic that maps singular values in (0, 1] towards 1
RMS = 0.2  # of the entries of a typical AdamW step
NOT_HIDDEN = ("conv_in", "conv_out", "patch_embed", "proj_out", "t_embedder.")  # first, last and time layers
MIN_SIDE = 32
LONG = 6  # aspect ratio from which products of Gram matrices are cheaper, even in float32


def is_hidden_matrix(name: str, p: Tensor) -> bool:
    """Return whether a parameter is a hidden layer's weight; the others stay with AdamW."""
    if not name.endswith("weight") or p.dim() < 2 or any(part in name for part in NOT_HIDDEN):
        return False
    return min(len(p), p[0].numel()) >= MIN_SIDE


class Muon(AdamW):
    """AdamW, with Muon for parameter groups with `matrices=True`.

    A convolution kernel is treated as the matrix [out, in * taps]. Momentum is sharded like the weights; each
    process gathers one matrix at a time, so the update equals that of a single process.

    Args:
        momentum: of the matrices' gradients; Nesterov's variant.
        dtype: of the matrix products in the orthogonalization.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
        **adamw: Any,
    ) -> None:
        self.momentum, self.dtype = momentum, dtype
        super().__init__([{"matrices": False, **group} for group in groups], **adamw)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters of every group."""
        work = [
            (p, p.grad, group["lr"], group["weight_decay"])
            for group in self.param_groups
            if group["matrices"]
            for p in group["params"]
            if p.grad is not None
        ]
        self._step_matrices(work)
        for p, *_ in work:
            p.grad = None  # AdamW skips parameters without a gradient
        loss = super().step(closure)
        for p, grad, *_ in work:
            p.grad = grad
        return loss

    def _step_matrices(self, work: list[tuple[Tensor, Tensor, float, float]]) -> None:
        """Update the matrices, on a CPU one per core: a single matrix is too small to keep all cores busy."""
        num_cores = torch.get_num_threads()
        if num_cores == 1 or any(p.device.type != "cpu" or isinstance(p, DTensor) for p, *_ in work):
            for each in work:
                self._step_matrix(*each)
            return
        # largest first, so that no core is left with a large one at the end
        work = sorted(work, key=lambda each: -each[0].numel() * min(each[0].flatten(1).shape))
        with ThreadPoolExecutor(num_cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(lambda each: self._step_matrix(*each), work))

    @torch.no_grad()
    def _step_matrix(self, p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())  # AdamW requires it when it loads a state
            state["momentum"] = self.zeros_like(p)
        momentum = state["momentum"].to(p.device).lerp(grad, 1 - self.momentum)
        ahead = full_tensor(grad.lerp(momentum, self.momentum))
        update = orthogonalize(ahead.flatten(1), dtype=self.dtype)
        update = update.mul_(RMS * max(update.shape) ** 0.5).view(ahead.shape)
        own = own_shard(update, p) if isinstance(p, DTensor) else update
        self._assign(p, to_local(p).mul(1 - lr * weight_decay).sub_(own, alpha=lr))
        self._assign(state["momentum"], to_local(momentum))

    def _assign(self, target: Tensor, value: Tensor) -> None:
        """Copy a value into this process's part of a tensor, unless the step is skipped."""
        local = to_local(target)
        if self.found_inf is not None:
            value = torch.where(self.found_inf.bool(), local.to(value.device), value)
        local.copy_(value, non_blocking=True)


def orthogonalize(matrix: Tensor, steps: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return approximately U V^T of matrix = U S V^T, float32 [rows, columns], by Newton-Schulz iterations.

    Four steps bring every singular value above 0.5 % of the matrix's norm to between 0.65 and 1.15.

    Args:
        dtype: of the products. In bfloat16 they are of the matrix itself; otherwise, and for long matrices,
            of its Gram matrix, with which all iterates commute. The Gram matrix stays in float32: rounding
            makes its small eigenvalues negative, and the iteration diverges from negative ones.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    rounded = dtype != torch.float32 and wide.shape[1] < LONG * wide.shape[0]
    wide = _iterate(wide.to(dtype), steps).float() if rounded else _iterate_gram(wide, steps)
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


def _iterate(wide: Tensor, steps: int) -> Tensor:
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide


def _iterate_gram(wide: Tensor, steps: int) -> Tensor:
    gram = wide @ wide.T
    a, b, c = COEFFICIENTS
    product: Tensor | None = None
    for iteration in range(1, steps + 1):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        product = step if product is None else step @ product
        if iteration < steps:
            gram = step @ gram @ step
    assert product is not None
    return product @ wide
