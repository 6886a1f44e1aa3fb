"""Learning rates as pure functions of the step, so that resuming needs no scheduler's state."""

import math

from src.training.config import LRSchedule


def learning_rate(
    step: int, *, schedule: LRSchedule, peak: float, warmup: int, total: int, final: float, halvings: int = 0
) -> float:
    """The learning rate of step `step`, counted from 0.

    Args:
        peak: largest learning rate.
        warmup: steps over which it rises: linearly, or along a cosine for one_cycle.
        total: steps of the run; where cosine and one_cycle arrive at `final * peak`.
        final: the floor as a share of the peak.
        halvings: how often plateau has halved it.
    """
    if step < warmup:
        done = (step + 1) / warmup
        if schedule == "one_cycle":
            return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * done)) / 2)
        return peak * done
    if schedule == "constant":
        return peak
    if schedule == "plateau":
        return peak * max(0.5**halvings, final)
    done = min((step + 1 - warmup) / max(total - warmup, 1), 1.0)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * done)) / 2)


def plateau(losses: list[float], patience: int) -> int:
    """Halvings after a history of validation losses: one whenever `patience` of them bring no new best."""
    best, waited, halvings = math.inf, 0, 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited > patience:
            halvings, waited = halvings + 1, 0
    return halvings
