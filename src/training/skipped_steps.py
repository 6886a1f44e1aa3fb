"""Steps that are skipped because a loss or gradient is NaN or infinite: counted, named, and limited.

Whether a step is skipped is decided on the device and is the same on every process. The host learns of it
when metrics are logged or a checkpoint is saved, so it waits in no other step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from src.core.errors import UserError

SHOWN_IDS = 8


class NonFiniteError(UserError):
    """Losses or gradients were NaN or infinite in too many steps in a row; none of them changed a weight."""


@dataclass(frozen=True)
class GradientStep:
    """Scalars of one optimizer step on the device, over all processes.

    `loss` is a mean, `grad_norm` is before clipping, `found_inf` is 1 where the step was skipped, else 0.
    """

    loss: Tensor
    grad_norm: Tensor
    found_inf: Tensor


@dataclass(frozen=True)
class _Noted:
    step: int
    ids: list[str]
    result: GradientStep


class SkippedSteps:
    """Keeps the results of steps until they are read.

    Args:
        limit: number of steps in a row that may be skipped.

    Attributes:
        total, in_a_row: skipped steps of the run, and those that no other step has followed, as last read.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.total, self.in_a_row = limit, 0, 0
        self._unread: list[_Noted] = []

    def note(self, step: int, ids: list[str], result: GradientStep) -> None:
        """Keep the result of a step's optimizer; does not wait for the device."""
        self._unread.append(_Noted(step, ids, result))

    def read(self, gather_ids: Callable[[list[str]], list[str]]) -> list[str]:
        """Return a line for each step that was skipped since the last call; waits for the device.

        Args:
            gather_ids: from this process's ids to those of all processes; collective, called for skipped
                steps only, which are the same everywhere.

        Raises:
            NonFiniteError: on every process, if more than `limit` steps in a row were skipped.
        """
        noted, self._unread = self._unread, []
        if not noted:
            return []
        results = [torch.stack([n.result.loss, n.result.grad_norm, n.result.found_inf]) for n in noted]
        by_step: dict[int, list[tuple[_Noted, list[float]]]] = {}
        for each, values in zip(noted, torch.stack(results).tolist(), strict=True):
            by_step.setdefault(each.step, []).append((each, values))
        lines = []
        for step, found in by_step.items():
            skipped = [(each, loss, norm) for each, (loss, norm, found_inf) in found if found_inf]
            self.in_a_row = self.in_a_row + 1 if skipped else 0
            if skipped:
                each, loss, norm = skipped[0]
                self.total += 1
                lines.append(_describe(step, loss, norm, gather_ids(each.ids)))
            if self.in_a_row > self.limit:
                self._refuse(lines[-1])
        return lines

    def _refuse(self, line: str) -> None:
        many = "" if self.in_a_row == 1 else f"; {self.in_a_row} steps in a row"
        raise NonFiniteError(
            f"{line}{many}: train.max_skipped_steps={self.limit} allows no more; lower train.lr, or leave "
            "these samples out"
        )


def _describe(step: int, loss: float, norm: float, ids: list[str]) -> str:
    more = f", ... ({len(ids)} in total)" if len(ids) > SHOWN_IDS else ""
    return (
        f"step {step}: loss is {loss}, gradient norm is {norm}; skipped, no weight changed; "
        f"batch: {', '.join(ids[:SHOWN_IDS])}{more}"
    )
