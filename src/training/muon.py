"""Muon: steps along orthogonalised momentum for matrices and kernels, AdamW for the rest.

Jordan et al. 2024 (kellerjordan.github.io/posts/muon), with the step's size matched to AdamW's as in Liu et al.
2025 (arXiv 2502.16982), so that one learning rate serves both. Not the paper's optimiser: a switch for runs
that have minutes.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic that drives singular values in (0, 1] to about 1


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of matrix = U S V^T, for float32 [rows, columns], by Newton-Schulz iterations.

    They run on the small Gram matrix, which every iterate shares its eigenvectors with: half the price of
    iterating on the matrix, and float32 costs no more than bfloat16 did.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / (wide.norm() + 1e-7)
    gram = wide @ wide.T
    product = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    a, b, c = COEFFICIENTS
    for _ in range(steps):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        product = step @ product
        gram = step @ gram @ step
    wide = product @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions (kernels as [outputs, inputs * taps]), AdamW for the others.

    Args:
        lr: AdamW's learning rate; a Muon step has the root mean square of 0.2 that AdamW's steps have in practice.
        momentum: of the matrices, with Nesterov's look ahead.
        weight_decay: decoupled, for matrices only.

    Parameters may be sharded over the first dimension (DTensor): the momentum stays sharded, each matrix is
    gathered for its step, and every process keeps its rows.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        defaults = dict(lr=lr, momentum=momentum, betas=betas, weight_decay=weight_decay, eps=eps)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step from the gradients that are there."""
        assert closure is None, "Muon takes no closure"
        for group in self.param_groups:
            learning = [p for p in group["params"] if p.grad is not None]
            for p in learning:
                if p.dim() >= 2:
                    self._muon(p, group)
            self._adamw([p for p in learning if p.dim() < 2], group)

    def _muon(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        ahead = p.grad.lerp(state["momentum"], group["momentum"])
        whole = ahead.full_tensor() if isinstance(ahead, DTensor) else ahead
        update = orthogonalise(whole.float().flatten(1))
        update = update.mul_(0.2 * max(update.shape) ** 0.5).view(whole.shape)
        p.mul_(1 - group["lr"] * group["weight_decay"])
        if isinstance(p, DTensor):
            local = p.to_local()
            local.sub_(own_rows(update, p), alpha=group["lr"])
        else:
            p.sub_(update, alpha=group["lr"])

    def _adamw(self, params: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for p in params:
            state = self.state[p]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] += 1
            state["exp_avg"].lerp_(p.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            done = float(state["step"])
            scale = (state["exp_avg_sq"] / (1 - beta2**done)).sqrt_().add_(group["eps"])
            p.sub_(state["exp_avg"] / scale, alpha=group["lr"] / (1 - beta1**done))


def own_rows(whole: Tensor, p: DTensor) -> Tensor:
    """The rows of a whole tensor that this process holds of `p`, which is sharded over dimension 0."""
    placement = p.placements[0]
    assert p.device_mesh.ndim == 1, "Muon knows one mesh dimension"
    if not placement.is_shard():
        return whole
    assert placement.is_shard(0), f"Muon needs rows on each process, not {placement}"
    ranks, rank = p.device_mesh.size(), p.device_mesh.get_local_rank()
    rows = -(-whole.shape[0] // ranks)
    return whole[rank * rows : (rank + 1) * rows]
