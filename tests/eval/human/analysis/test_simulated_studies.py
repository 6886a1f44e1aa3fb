import numpy as np
import pytest

from eval.human.analysis.adaptive import allocate_items
from eval.human.analysis.bradley_terry import vote_information
from eval.human.analysis.simulated_studies import (
    simulate_net_win,
    simulate_net_win_until_precise,
    simulate_until_precise,
    true_net_win,
)
from eval.human.coverage import NET_WIN_CASES, adaptive_savings, net_win_coverage, two_system_savings


def largest_variance(strengths: np.ndarray, counts: dict[tuple[int, int], int]) -> float:
    num = len(strengths)
    information = np.zeros((num, num))
    for (i, j), count in counts.items():
        direction = np.zeros(num)
        direction[i], direction[j] = 1, -1
        gain = float(vote_information(np.array(strengths[i] - strengths[j]), -0.5))
        information += count * gain * np.outer(direction, direction)
    return float((np.diag(np.linalg.inv(information + 1 / num)) - 1 / num).max())


def test_items_go_where_they_tell_most() -> None:
    strengths = np.linspace(2.5, -2.5, 6)
    start = {(i, j): 4 for i in range(6) for j in range(i + 1, 6)}
    given = allocate_items(strengths, -0.5, start, 300)
    assert sum(given.values()) == 300
    assert given.get((0, 5), 0) < 300 / 15 < given[0, 1] + given[4, 5]
    adaptive = {pair: count + given.get(pair, 0) for pair, count in start.items()}
    uniform = dict.fromkeys(start, 24)
    assert largest_variance(strengths, adaptive) < 0.85 * largest_variance(strengths, uniform)
    limited = allocate_items(strengths, -0.5, start, 300, {pair: 3 for pair in start})
    assert max(limited.values()) == 3
    assert sum(limited.values()) == 45


def test_the_true_net_win_rate_is_the_mean_of_studies() -> None:
    means = [simulate_net_win(i, num_prompts=400, samples_per_prompt=1).mean for i in range(40)]
    truth = true_net_win(0.4, -0.5, 1.0, 3, "tie")
    assert np.mean(means) == pytest.approx(truth, abs=4 * np.std(means) / np.sqrt(40))


def test_a_study_stops_at_the_half_width() -> None:
    study = simulate_until_precise(0, [0.5, 0.0, -0.5], half_width=0.3, adaptive=True, num_raters=1)
    assert study.half_width <= 0.3
    assert study.num_rounds > 1


def test_a_study_of_two_systems_stops_at_the_half_width() -> None:
    study = simulate_net_win_until_precise(0, half_width=12.0)
    assert study.half_width <= 12
    assert study.num_votes == 3 * (50 + 25 * (study.num_rounds - 1)) > 150


@pytest.mark.long
@pytest.mark.parametrize("case", NET_WIN_CASES, ids=str)
def test_intervals_cover_in_a_thousand_studies(case: dict) -> None:
    covered, _ = net_win_coverage(case, 1000)
    assert 0.93 <= covered <= 0.97


@pytest.mark.long
@pytest.mark.parametrize("num_systems", [2, 5, 10])
def test_coverage_at_the_stopping_time(num_systems: int) -> None:
    if num_systems == 2:
        found = two_system_savings(1000, half_width=10.0)
    else:
        found = adaptive_savings(num_systems, 300, spread=1.5, half_width=0.2)
    assert found.coverage >= 0.94
    if num_systems == 10:
        assert found.votes <= 0.6 * found.fixed_votes
