"""Quality of raters from their votes alone: the model of Dawid and Skene (1979), by EM."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_STEPS = 200
TOLERANCE = 1e-6


@dataclass(frozen=True)
class RaterModel:
    """Posteriors of the items' true categories and a confusion matrix for each rater.

    `confusion[r, true, answered]`; `accuracy[r]` is the probability that the rater's answer is the true one.
    """

    items: tuple[str, ...]
    raters: tuple[str, ...]
    posterior: NDArray[np.float64]
    prior: NDArray[np.float64]
    confusion: NDArray[np.float64]
    num_votes: NDArray[np.intp]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Probability of the true answer for each rater, over items as they occur."""
        return np.einsum("k,rkk->r", self.prior, self.confusion)


def fit_raters(
    items: Sequence[str],
    raters: Sequence[str],
    answers: Sequence[int],
    *,
    num_categories: int = 3,
    smoothing: float = 1.0,
) -> RaterModel:
    """Fit the model to votes given as three sequences of equal length; answers are 0..num_categories - 1.

    Args:
        smoothing: pseudo-votes in each row of a confusion matrix; those on the diagonal count twice, so that
            a rater with few votes is taken as better than chance.
    """
    item_names, item = np.unique(np.asarray(items, str), return_inverse=True)
    rater_names, rater = np.unique(np.asarray(raters, str), return_inverse=True)
    answer = np.asarray(answers, np.intp)
    pseudo = smoothing * (np.full((num_categories, num_categories), 1.0) + np.eye(num_categories))
    posterior = np.zeros((len(item_names), num_categories))
    np.add.at(posterior, (item, answer), 1.0)
    posterior /= posterior.sum(1, keepdims=True)
    for _ in range(MAX_STEPS):
        prior = (posterior.sum(0) + smoothing) / (len(item_names) + smoothing * num_categories)
        confusion = np.broadcast_to(pseudo, (len(rater_names), *pseudo.shape)).copy()
        np.add.at(confusion.transpose(0, 2, 1), (rater, answer), posterior[item])
        confusion /= confusion.sum(2, keepdims=True)
        scores = np.tile(np.log(prior), (len(item_names), 1))
        np.add.at(scores, item, np.log(confusion[rater, :, answer]))
        updated = np.exp(scores - scores.max(1, keepdims=True))
        updated /= updated.sum(1, keepdims=True)
        change = np.abs(updated - posterior).max()
        posterior = updated
        if change < TOLERANCE:
            break
    return RaterModel(
        tuple(map(str, item_names)),
        tuple(map(str, rater_names)),
        posterior,
        prior,
        confusion,
        np.bincount(rater, minlength=len(rater_names)),
    )
