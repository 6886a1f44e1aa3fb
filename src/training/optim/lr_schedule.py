"""Learning rates as pure functions of the step, so that resuming needs no scheduler state."""

import math

from src.training.config import LRSchedule


def learning_rate(
    step: int,
    *,
    schedule: LRSchedule,
    peak: float,
    warmup: int,
    total: int,
    final: float,
    halvings: int = 0,
) -> float:
    """Return the learning rate of step `step`, counted from 0.

    Args:
        peak: largest learning rate.
        warmup: number of warm-up steps: linear, or along a cosine for one_cycle.
        total: number of steps of the run, after which linear, cosine and one_cycle are at `final * peak`.
        final: the lowest learning rate as a fraction of the peak.
        halvings: how often plateau has halved it.
    """
    if step < warmup:
        progress = (step + 1) / warmup
        if schedule == "one_cycle":
            # starts at 1/25 of the peak, as in Smith and Topin 2019 and in torch's OneCycleLR
            return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * progress)) / 2)
        return peak * progress
    if schedule == "constant":
        return peak
    if schedule == "plateau":
        return peak * max(0.5**halvings, final)
    progress = min((step + 1 - warmup) / max(total - warmup, 1), 1.0)
    if schedule == "linear":
        return peak * (1 - (1 - final) * progress)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)


def num_halvings(losses: list[float], patience: int) -> int:
    """Return the number of halvings after a history of validation losses (Movie Gen, sec. 3.3).

    The learning rate is halved whenever more than `patience` losses in a row are no new best.
    """
    best, waited, halvings = math.inf, 0, 0
    for loss in losses:
        if loss < best:
            best, waited = loss, 0
            continue
        waited += 1
        if waited > patience:
            halvings, waited = halvings + 1, 0
    return halvings
