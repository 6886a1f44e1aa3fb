"""Metrics over a classifier's probabilities: inception score and paired KL divergence.

Both mean something only for a classifier that knows the classes shown; neither for embeddings.
"""

import numpy as np
from numpy.typing import NDArray

from eval.distribution.feature_arrays import Array, blocks, check_features


def softmax(logits_nc: NDArray[np.floating]) -> Array:
    """Rows of probabilities in float64."""
    shifted = np.asarray(logits_nc, np.float64)
    shifted = np.exp(shifted - shifted.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def surprise(probabilities_nc: NDArray[np.floating]) -> Array:
    """KL(p(y|x) || p(y)) of each row, nats; the inception score is exp of the mean (Salimans et al. 2016).

    The marginal minimises the mean of these, so to first order a row moves log IS by its own value only.
    """
    check_features(probabilities_nc, minimum=2, name="probabilities")
    places = list(blocks(len(probabilities_nc)))
    sums = [_normalised(probabilities_nc[rows]).sum(0) for rows in places]
    marginal = np.sum(sums, 0)[None] / len(probabilities_nc)
    return np.concatenate([_divergence(_normalised(probabilities_nc[rows]), marginal) for rows in places])


def inception_score(probabilities_nc: NDArray[np.floating], *, num_splits: int = 10) -> tuple[float, float]:
    """Mean and deviation (divided by splits) of the score over consecutive splits, as papers report it.

    Raises:
        ValueError: for fewer rows than twice the splits: a split of one row scores 1 whatever it shows.
    """
    p = _checked(probabilities_nc, minimum=2 * num_splits)
    scores = [np.exp(surprise(part).mean()) for part in np.array_split(p, num_splits)]
    return float(np.mean(scores)), float(np.std(scores))


def paired_divergence(reference_nc: NDArray[np.floating], made_nc: NDArray[np.floating]) -> Array:
    """KL(reference || made) of each pair, nats; `made` is kept from 0 by 1e-6 as audiocraft does."""
    p, q = _checked(reference_nc, minimum=1), _checked(made_nc, minimum=1)
    if p.shape != q.shape:
        raise ValueError(f"probabilities: {list(p.shape)} and {list(q.shape)} are no pairs")
    return _divergence(p, q + 1e-6)


def _divergence(p: Array, q: Array) -> Array:
    ratio = np.log(np.where(p > 0, p, 1.0)) - np.log(np.where(p > 0, q, 1.0))
    return (p * ratio).sum(1)


def _checked(probabilities_nc: NDArray[np.floating], *, minimum: int) -> Array:
    check_features(probabilities_nc, minimum=minimum, name="probabilities")
    return _normalised(probabilities_nc)


def _normalised(probabilities_nc: NDArray[np.floating]) -> Array:
    p = np.asarray(probabilities_nc, np.float64)
    if (p < 0).any() or np.abs(p.sum(1) - 1).max() > 1e-4:
        raise ValueError("probabilities: rows must be 0 or more and sum to 1")
    return p / p.sum(1, keepdims=True)
