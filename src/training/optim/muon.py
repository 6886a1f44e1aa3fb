"""Muon: momentum whose direction is orthogonalised, for hidden matrices and kernels; AdamW for the rest.

A step moves all directions of a matrix equally far, whatever the gradient's spectrum. At the few hundred
steps that a laptop affords this reaches a lower loss than AdamW (`docs/log/2026-11.md` has the figures). Not the
paper's optimiser: a switch for runs that have minutes. Jordan et al. 2024; the step's size is matched to
AdamW's as in Liu et al. 2025 (arXiv 2502.16982), so that one learning rate serves both.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from src.parallel.fsdp import copy_whole_, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic that drives singular values in (0, 1] to about 1
RMS = 0.2  # of an AdamW step in practice
NOT_HIDDEN = ("conv_in", "conv_out", "patch_in", "patch_out", "time.")  # first, last and time layers
SMALLEST_SIDE = 32
LONG = 6  # times the shorter side: from here on products of Gram matrices are cheaper, even in float32


def is_hidden_matrix(name: str, p: Tensor) -> bool:
    """Whether a parameter is a hidden layer's weight; tables and first and last layers stay with AdamW."""
    weight = name.endswith("weight") and p.dim() > 1
    return (
        weight and min(len(p), p[0].numel()) >= SMALLEST_SIDE and not any(part in name for part in NOT_HIDDEN)
    )


class Muon(torch.optim.AdamW):
    """AdamW, save for parameter groups with `matrices=True`.

    A convolution counts as the matrix [out, in * taps]. Where weights are sharded, the momentum stays
    sharded, and each process gathers one matrix at a time: the update is that of one process.

    Args:
        momentum: of the matrices' gradients, with Nesterov's look ahead.
        dtype: of the orthogonalisation's products.
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
        """One update of every group."""
        work = [
            (p, p.grad, group["lr"], group["weight_decay"])
            for group in self.param_groups
            if group["matrices"]
            for p in group["params"]
            if p.grad is not None
        ]
        self._step_matrices(work)
        for p, *_ in work:
            p.grad = None  # AdamW passes over it
        loss = super().step(closure)
        for p, grad, *_ in work:
            p.grad = grad
        return loss

    def _step_matrices(self, work: list[tuple[Tensor, Tensor, float, float]]) -> None:
        """On a CPU a matrix is too small for all cores: each core takes its own, the largest first."""
        cores = torch.get_num_threads()
        if cores == 1 or any(p.device.type != "cpu" or isinstance(p, DTensor) for p, *_ in work):
            for each in work:
                self._step_matrix(*each)
            return
        work = sorted(work, key=lambda each: -each[0].numel() * min(each[0].flatten(1).shape))
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(lambda each: self._step_matrix(*each), work))

    @torch.no_grad()
    def _step_matrix(self, p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())  # AdamW expects it in a state that it loads
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(grad, 1 - self.momentum)
        ahead = whole(grad.lerp(state["momentum"], self.momentum))
        update = orthogonalise(ahead.flatten(1), dtype=self.dtype)
        update = update.mul_(RMS * max(update.shape) ** 0.5).view(ahead.shape)
        p.mul_(1 - lr * weight_decay)
        if isinstance(p, DTensor):
            part = torch.zeros_like(p)
            copy_whole_(part, update)
            update = part
        p.sub_(update, alpha=lr)


def orthogonalise(matrix: Tensor, steps: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    """About U V^T of matrix = U S V^T, float32 [rows, columns], by Newton-Schulz iterations.

    Four of them bring every singular value above 0.5 % of the matrix's norm to between 0.65 and 1.15.

    Args:
        dtype: of the products. In bfloat16 they run on the matrix itself; else, and where the matrix is
            long, on its Gram matrix, whose eigenvectors all iterates share. That one stays float32:
            rounded, its small eigenvalues turn negative, and negative ones diverge.
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
