"""Strengths of systems from pairwise votes: Bradley-Terry with ties after Davidson (1970).

With strengths s_i, system i beats j, loses, or ties with weights exp(s_i), exp(s_j) and
exp(t + (s_i + s_j) / 2): a multinomial logit, whose log-likelihood is concave. A small ridge keeps strengths
finite for a system that wins all its votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.core.clusters import Labels, group_codes
from eval.core.intervals import t_quantile

Array = NDArray[np.float64]
RIDGE = 0.01
MAX_STEPS = 100
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Strengths:
    """Strengths on the logit scale with mean 0, their covariance, and Davidson's tie parameter (log).

    `tie` is -inf if there were no ties. `num_clusters` is the number of independent prompts.
    """

    systems: tuple[str, ...]
    values: Array
    covariance: Array
    tie: float
    num_clusters: int

    def half_widths(self, level: float = 0.95) -> Array:
        """Return half the length of each strength's interval (Student's t over prompts)."""
        factor = t_quantile(level, max(1, self.num_clusters - 1))
        return factor * np.sqrt(np.maximum(np.diag(self.covariance), 0))


def fit_strengths(
    systems: Sequence[str],
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    outcomes: NDArray[np.intp],
    clusters: Labels | None = None,
    *,
    ridge: float = RIDGE,
) -> Strengths:
    """Fit strengths to votes on pairs (first, second) with outcome 1, 0 (tie), -1.

    Args:
        clusters: the prompt of each vote; votes of one prompt are not independent, and the covariance is a
            sandwich estimate over prompts. Without clusters every vote is its own.
        ridge: weight of half the squared strengths in the objective.

    Raises:
        ValueError: there are no votes, or some system has none.
    """
    num = len(systems)
    if not len(first):
        raise ValueError("votes: a fit needs at least one")
    seen = np.bincount(np.concatenate([first, second]), minlength=num)
    if (seen == 0).any():
        raise ValueError(f"votes: {systems[int(np.argmin(seen))]} has none")
    # votes on one pair with one outcome have equal derivatives: at most 3 rows for each pair
    codes, row_of = np.unique((first * num + second) * 3 + outcomes + 1, return_inverse=True)
    kinds = np.stack([codes // 3 // num, codes // 3 % num, codes % 3 - 1])
    counts = np.bincount(row_of).astype(float)
    with_ties = bool((outcomes == 0).any())
    features = _features(num, kinds[0], kinds[1], with_ties)
    chosen = np.where(kinds[2] == 1, 0, np.where(kinds[2] == -1, 1, 2))
    parameters = np.zeros(features.shape[2])
    penalty = np.full(num + with_ties, ridge)
    penalty[num:] = 0.0
    for _ in range(MAX_STEPS):
        gradient, information = _derivatives(features, chosen, counts, parameters)
        step = np.linalg.solve(
            information + np.diag(penalty + 1e-12), counts @ gradient - penalty * parameters
        )
        step *= min(1.0, 4.0 / max(np.abs(step).max(), 1e-12))  # far from the optimum a full step overshoots
        parameters = parameters + step
        if np.abs(step).max() < TOLERANCE:
            break
    gradient, information = _derivatives(features, chosen, counts, parameters)
    cluster = _cluster_codes(clusters, len(first))
    num_clusters = int(cluster.max()) + 1
    sums = np.stack([np.bincount(cluster, column) for column in gradient[row_of].T], 1)
    inverse = np.linalg.pinv(information + np.diag(penalty))
    middle = sums.T @ sums * num_clusters / max(1, num_clusters - 1)
    covariance = (inverse @ middle @ inverse)[:num, :num]
    center = np.eye(num) - 1 / num
    values = parameters[:num] - parameters[:num].mean()
    tie = float(parameters[num]) if with_ties else -np.inf
    return Strengths(tuple(systems), values, center @ covariance @ center, tie, num_clusters)


def outcome_probabilities(difference: Array, tie: float) -> Array:
    """Return the probabilities [..., 3] of win, loss and tie at differences of strengths."""
    half = np.asarray(difference, float)[..., None] / 2
    scores = np.concatenate([half, -half, np.full_like(half, tie)], -1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def vote_information(difference: Array, tie: float) -> Array:
    """Return the Fisher information on the difference of strengths in one vote."""
    # the score of a difference is +-1/2 for decided votes and 0 for ties, around its mean
    p = outcome_probabilities(difference, tie)
    return (p[..., 0] + p[..., 1] - (p[..., 0] - p[..., 1]) ** 2) / 4


def _cluster_codes(clusters: Labels | None, num: int) -> NDArray[np.intp]:
    if isinstance(clusters, np.ndarray):
        return np.unique(clusters, return_inverse=True)[1]
    return group_codes(clusters, num)


def _features(num: int, first: NDArray[np.intp], second: NDArray[np.intp], with_ties: bool) -> Array:
    """Return the derivative of each option's score by each parameter, [votes, options, parameters]."""
    rows = np.arange(len(first))
    features = np.zeros((len(first), 3 if with_ties else 2, num + with_ties))
    features[rows, 0, first] = 1
    features[rows, 1, second] = 1
    if with_ties:
        features[rows, 2, first] = 0.5
        features[rows, 2, second] = 0.5
        features[rows, 2, num] = 1
    return features


def _derivatives(
    features: Array, chosen: NDArray[np.intp], counts: Array, parameters: Array
) -> tuple[Array, Array]:
    """Return the gradient of each row's log-likelihood, and the information matrix of all votes."""
    scores = features @ parameters
    weights = np.exp(scores - scores.max(1, keepdims=True))
    p = weights / weights.sum(1, keepdims=True)
    mean = np.einsum("vo,vop->vp", p, features)
    gradient = features[np.arange(len(chosen)), chosen] - mean
    information = np.einsum("v,vo,vop,voq->pq", counts, p, features, features, optimize=True)
    return gradient, information - (mean * counts[:, None]).T @ mean
