"""Metrics over a classifier's probabilities: inception score and paired KL divergence.

Both are meaningful only for a classifier trained on the classes shown, not for embeddings.
"""

import numpy as np
from numpy.typing import NDArray

from eval.core.intervals import Array
from eval.distribution.feature_arrays import blocks, check_features


def softmax(logits_nc: NDArray[np.floating]) -> Array:
    """Return rows of probabilities in float64."""
    shifted = np.asarray(logits_nc, np.float64)
    shifted = np.exp(shifted - shifted.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def kl_to_marginal(probabilities_nc: NDArray[np.floating]) -> Array:
    """Return KL(p(y|x) || p(y)) of each row in nats; the inception score is exp of its mean.

    Salimans et al. 2016. The marginal minimizes the mean of these, so the influence of a row on log IS is, to
    first order, its own value.
    """
    check_features(probabilities_nc, minimum=2, name="probabilities")
    slices = list(blocks(len(probabilities_nc)))
    sums = [_normalize(probabilities_nc[rows]).sum(0) for rows in slices]
    marginal = np.sum(sums, 0)[None] / len(probabilities_nc)
    return np.concatenate([_kl(_normalize(probabilities_nc[rows]), marginal) for rows in slices])


def inception_score(probabilities_nc: NDArray[np.floating], *, num_splits: int = 10) -> tuple[float, float]:
    """Return mean and standard deviation (population) of the score over consecutive splits, as usual.

    Raises:
        ValueError: there are fewer than two rows per split; a split of one row always scores 1.
    """
    p = _check_and_normalize(probabilities_nc, minimum=2 * num_splits)
    scores = [np.exp(kl_to_marginal(part).mean()) for part in np.array_split(p, num_splits)]
    return float(np.mean(scores)), float(np.std(scores))


def paired_kl(reference_nc: NDArray[np.floating], generated_nc: NDArray[np.floating]) -> Array:
    """Return KL(reference || generated) of each pair in nats, with 1e-6 added to `generated` (audiocraft)."""
    p, q = _check_and_normalize(reference_nc, minimum=1), _check_and_normalize(generated_nc, minimum=1)
    if p.shape != q.shape:
        raise ValueError(f"probabilities: shape mismatch of pairs, {list(p.shape)} vs {list(q.shape)}")
    return _kl(p, q + 1e-6)


def _kl(p: Array, q: Array) -> Array:
    ratio = np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, q, 1.0))
    return (p * ratio).sum(1)


def _check_and_normalize(probabilities_nc: NDArray[np.floating], *, minimum: int) -> Array:
    check_features(probabilities_nc, minimum=minimum, name="probabilities")
    return _normalize(probabilities_nc)


def _normalize(probabilities_nc: NDArray[np.floating]) -> Array:
    p = np.asarray(probabilities_nc, np.float64)
    if (p < 0).any() or np.abs(p.sum(1) - 1).max() > 1e-4:
        raise ValueError("probabilities: rows must be 0 or more and sum to 1")
    return p / p.sum(1, keepdims=True)
