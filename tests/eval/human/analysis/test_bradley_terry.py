import choix
import numpy as np
import pytest

from eval.human.analysis.bradley_terry import fit_strengths, outcome_probabilities, vote_information
from eval.human.analysis.elo import elo_ratings

TRUTH = np.array([1.0, 0.2, -0.3, -0.9])
# Agresti, Categorical Data Analysis (2002), table 10.10: wins in American League baseball games of 1987;
# the fitted log abilities, Baltimore at 0, are those of table 10.11
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = np.array([
    [0, 7, 9, 7, 7, 9, 11], [6, 0, 7, 5, 11, 9, 9], [4, 6, 0, 7, 7, 8, 12], [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12], [4, 4, 5, 6, 6, 0, 6], [2, 4, 1, 3, 1, 7, 0],
])  # fmt: skip
ABILITIES = (1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0)


def draw(num: int, tie: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, num)
    second = (first + rng.integers(1, 4, num)) % 4
    p = outcome_probabilities(TRUTH[first] - TRUTH[second], tie)
    outcome = np.array([1, -1, 0])[(rng.random(num)[:, None] > p.cumsum(1)).sum(1)]
    return first, second, outcome


def test_published_example() -> None:
    i, j = np.nonzero(WINS)
    first, second = np.repeat(i, WINS[i, j]), np.repeat(j, WINS[i, j])
    fitted = fit_strengths(TEAMS, first, second, np.ones(len(first), int), ridge=1e-9)
    assert fitted.values - fitted.values[-1] == pytest.approx(ABILITIES, abs=0.006)


def test_parity_with_choix() -> None:
    first, second, outcome = draw(1500, -np.inf)
    wins = [(a, b) if o == 1 else (b, a) for a, b, o in zip(first, second, outcome, strict=True)]
    reference = choix.opt_pairwise(4, wins, alpha=0.005, tol=1e-12)  # choix penalizes without the half
    fitted = fit_strengths("abcd", first, second, outcome, ridge=0.01)
    assert fitted.values == pytest.approx(reference - reference.mean(), abs=1e-6)
    assert fitted.tie == -np.inf


def test_ties_are_recovered_and_intervals_scale() -> None:
    fitted = fit_strengths("abcd", *draw(20_000, 0.3))
    assert fitted.values == pytest.approx(TRUTH - TRUTH.mean(), abs=0.06)
    assert fitted.tie == pytest.approx(0.3, abs=0.06)
    quarter = fit_strengths("abcd", *draw(5000, 0.3))
    assert quarter.half_widths() / fitted.half_widths() == pytest.approx(2.0, rel=0.1)


def test_votes_of_one_prompt_are_not_independent() -> None:
    first, second, outcome = (np.repeat(each, 3) for each in draw(400, 0.0))
    clusters = np.repeat(np.arange(400), 3)
    fitted = fit_strengths("abcd", first, second, outcome, clusters)
    naive = fit_strengths("abcd", first, second, outcome)
    assert fitted.half_widths() / naive.half_widths() == pytest.approx(np.sqrt(3), rel=0.03)
    named = fit_strengths("abcd", first, second, outcome, [f"p{i}" for i in clusters])
    assert named.half_widths() == pytest.approx(fitted.half_widths())


def test_a_system_that_wins_everything_stays_finite() -> None:
    first, second = np.zeros(50, int), np.ones(50, int)
    fitted = fit_strengths("ab", first, second, np.ones(50, int))
    assert 1 < fitted.values[0] < 10
    with pytest.raises(ValueError, match="c has none"):
        fit_strengths("abc", first, second, np.ones(50, int))


def test_information_is_the_curvature() -> None:
    for difference, tie in ((0.0, -np.inf), (1.3, -np.inf), (0.7, 0.2)):
        step = 1e-4

        def log_p(d: float, tie: float = tie) -> np.ndarray:
            return np.log(np.maximum(outcome_probabilities(np.array(d), tie), 1e-300))

        p = outcome_probabilities(np.array(difference), tie)
        slope = (log_p(difference + step) - log_p(difference - step)) / (2 * step)
        expected = np.where(p > 0, p * slope**2, 0).sum()
        assert vote_information(np.array(difference), tie) == pytest.approx(expected, rel=1e-5)


def test_elo_orders_systems_and_is_zero_sum() -> None:
    ratings = elo_ratings("abcd", *draw(4000, 0.0), num_orders=50)
    means = [each.mean for each in ratings]
    assert means == sorted(means, reverse=True)
    assert sum(means) == pytest.approx(4000)
    assert all(each.deviation > 1 for each in ratings)  # of one order's ratings
    one = elo_ratings("ab", np.array([0]), np.array([1]), np.array([1]), k=32)
    assert (one[0].mean, one[1].mean) == (1016, 984)
