"""AdamW with one kernel for complete and sharded weights, whose step can be skipped without a wait."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from src.parallel.fsdp import to_local

HOST = torch.device("cpu")
CHUNK_BYTES = 256 * 2**20  # moments that visit the device together
Row = tuple[Tensor, Tensor, dict[str, Tensor]]  # a process's part of a weight and of its gradient, its state


class AdamW(torch.optim.AdamW):
    """AdamW on this process's shards, by torch's fused kernel.

    Args:
        offload: moments stay in host memory and visit the device some at a time.

    Attributes:
        found_inf: float32 scalar on the device; where it is 1 the next step leaves weights and state as they
            are. The host never reads it. None: never.
    """

    found_inf: Tensor | None = None

    def __init__(self, groups: list[dict[str, Any]], *, offload: bool = False, **settings: Any) -> None:
        self.offload = offload
        super().__init__(groups, fused=True, **settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the parameters that have a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            rows = [self._row(p) for p in group["params"] if p.grad is not None]
            if not rows:
                continue
            steps = [state["step"] for _, _, state in rows]
            torch._foreach_add_(steps, 1)
            for chunk in self._chunks(rows):
                self._update(group, chunk)
            if self.found_inf is not None:
                torch._foreach_sub_(steps, [self.found_inf] * len(steps))
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if self.offload:  # torch moves the state to the weights
            for state in self.state.values():
                for name, value in state.items():
                    state[name] = value if name == "step" else value.to(HOST)

    def zeros_like(self, p: Tensor) -> Tensor:
        """Return an entry of a parameter's state, sharded like it."""
        if not self.offload:
            return torch.zeros_like(p)
        local = to_local(p)
        zeros = torch.zeros_like(local, device=HOST, pin_memory=local.is_cuda)
        return DTensor(zeros, p._spec, requires_grad=False) if isinstance(p, DTensor) else zeros

    def _row(self, p: Tensor) -> Row:
        state: dict[str, Tensor] = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
            state["exp_avg"], state["exp_avg_sq"] = self.zeros_like(p), self.zeros_like(p)
        assert p.grad is not None
        weight, grad = to_local(p), to_local(p.grad)
        if grad.stride() != weight.stride():  # the kernel walks through memory
            grad = torch.empty_like(weight).copy_(grad)
        return weight, grad, state

    def _chunks(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Yield the rows of which this process has a part: all at once, or some whose moments fit."""
        rows = [row for row in rows if row[0].numel()]  # of few rows of a weight some processes have none
        if not self.offload:
            yield rows
            return
        chunk: list[Row] = []
        for row in rows:
            if chunk and 2 * sum(w.nbytes for w, _, _ in [*chunk, row]) > CHUNK_BYTES:
                yield chunk
                chunk = []
            chunk.append(row)
        yield chunk

    def _update(self, group: dict[str, Any], rows: list[Row]) -> None:
        if not rows:
            return
        weights, grads, states = (list(column) for column in zip(*rows, strict=True))
        kept = [[to_local(state[name]) for state in states] for name in ("exp_avg", "exp_avg_sq")]
        device = weights[0].device
        means, squares = ([each.to(device, non_blocking=True) for each in moments] for moments in kept)
        torch._fused_adamw_(
            weights,
            grads,
            means,
            squares,
            [],
            [state["step"] for state in states],
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            found_inf=self.found_inf,
        )
        if kept[0][0].device != device:
            for target, value in zip([*kept[0], *kept[1]], [*means, *squares], strict=True):
                target.copy_(value, non_blocking=True)
