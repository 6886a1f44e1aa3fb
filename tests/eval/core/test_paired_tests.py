import itertools

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from eval.core.intervals import linearized_ratios, t_bounds
from eval.core.paired_tests import (
    compare_pooled,
    compare_values,
    holm,
    permutation_p,
    ratio_permutation_p,
)

KEY = ("m", "s")


def test_permutation_test_against_all_flips_and_the_t_test():
    few = np.array([0.3, -0.1, 0.5, 0.2, 0.4])
    flips = [abs(np.dot(signs, few)) >= few.sum() - 1e-12 for signs in itertools.product((1, -1), repeat=5)]
    assert permutation_p(few) == np.mean(flips) == 2 * 2 / 32
    many = np.random.default_rng(0).normal(0.2, 1, 100)
    assert permutation_p(many) == pytest.approx(ttest_1samp(many, 0).pvalue, abs=0.01)
    assert permutation_p(np.ones(50)) == pytest.approx(1 / 10_001)
    assert permutation_p(np.zeros(50)) == 1
    assert permutation_p(np.ones(12)) == 2 / 2**12  # enumerated
    drawn = permutation_p(np.ones(13)) * 10_001
    assert drawn == pytest.approx(round(drawn))
    assert 1 <= drawn < 20
    assert permutation_p(np.ones(13), seed=0) != permutation_p(np.ones(13), seed=5)


def test_clusters_are_flipped_together_and_count_once():
    many = np.random.default_rng(0).normal(0.2, 1, 10)
    assert permutation_p(np.repeat(many, 5), np.repeat(np.arange(10), 5)) == permutation_p(many)
    uneven = np.r_[np.repeat(many[0], 9), many[1:]]
    assert permutation_p(uneven, np.r_[np.zeros(9, int), np.arange(1, 10)]) == permutation_p(many)


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(3)
    rejected = [permutation_p(rng.normal(size=11), seed=i) <= 0.05 for i in range(300)]
    assert 0.02 < np.mean(rejected) < 0.09


def test_ratios_are_swapped_within_clusters():
    rng = np.random.default_rng(1)
    bottom_a, bottom_b = rng.integers(1, 6, 8).astype(float), rng.integers(1, 6, 8).astype(float)
    top_a, top_b = np.floor(bottom_a * rng.random(8)), np.ceil(bottom_b * rng.random(8))

    def gap(swap):
        tops = [np.where(swap, top_b, top_a), np.where(swap, top_a, top_b)]
        bottoms = [np.where(swap, bottom_b, bottom_a), np.where(swap, bottom_a, bottom_b)]
        return tops[1].sum() / bottoms[1].sum() - tops[0].sum() / bottoms[0].sum()

    swaps = [np.array(each, bool) for each in itertools.product((False, True), repeat=8)]
    observed = abs(gap(swaps[0]))
    expected = np.mean([abs(gap(swap)) >= observed - 1e-12 for swap in swaps])
    assert ratio_permutation_p((top_a, bottom_a), (top_b, bottom_b)) == expected
    ones = np.ones(8)  # with equal denominators it is the test of means
    assert ratio_permutation_p((top_a, ones), (top_b, ones)) == permutation_p(top_b - top_a)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_samples_of_one_prompt_are_a_cluster():
    rng = np.random.default_rng(0)
    a = {str(i): 0.0 for i in range(40)}
    b = {str(i): value for i, value in enumerate(np.repeat(rng.normal(0.5, 1, 10), 4))}
    alone = compare_values(KEY, a, b, {name: f"p{name}" for name in a})
    grouped = compare_values(KEY, a, b, {name: f"p{int(name) // 4}" for name in a})
    assert (alone.interval.num_groups, grouped.interval.num_groups) == (40, 10)
    assert grouped.interval.high - grouped.interval.low > 1.5 * (alone.interval.high - alone.interval.low)
    assert grouped.p > 5 * alone.p
    promptless = compare_values(KEY, a, b, dict.fromkeys(a, ""))
    assert promptless.interval.num_groups == 40


def test_only_common_samples_and_possible_tests():
    prompts = {str(i): f"p{i}" for i in range(9)}
    a = {str(i): float(i) for i in range(6)}
    b = {str(i): i + 1.0 for i in range(1, 9)}
    found = compare_values(KEY, a, b, prompts)
    assert (found.interval.mean, found.interval.num) == (1.0, 5)
    assert found.p == 2 / 32
    assert compare_values(KEY, a, b, prompts, test=False).p is None
    four = {name: b[name] for name in "1234"}
    assert compare_values(KEY, a, four, prompts).p is None  # no test could reject below 5
    assert compare_values(KEY, a, four, prompts).interval.bounds is None
    assert compare_values(KEY, a, a, prompts).p is None  # nothing differs
    assert compare_values(KEY, a, {"x": 1.0}, prompts) is None


def test_without_a_seed_it_is_0():
    a = {str(i): np.sin(i) for i in range(40)}
    b = {name: value + 0.1 * np.cos(7 * value + len(name)) for name, value in a.items()}
    prompts = dict.fromkeys(a, "")
    found = [compare_values(KEY, a, b, prompts, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert found[0] == found[1]
    assert found[0].p != found[2].p
    pairs = [{name: (float((int(name) * k) % 4), 3.0 + k) for name in a} for k in (1, 3)]
    found = [compare_pooled(KEY, *pairs, prompts, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})]
    assert found[0] == found[1]
    assert found[0].p != found[2].p


def test_pooled_ratios_are_compared_as_pooled():
    rng = np.random.default_rng(2)
    bottom = rng.integers(0, 5, (2, 30)).astype(float)
    bottom[:, 7] = 0  # without impacts in both
    top = np.floor(bottom * rng.random((2, 30)) * [[0.6], [1.2]])
    top = np.minimum(top, bottom)
    a, b = ({str(i): (top[k, i], bottom[k, i]) for i in range(30)} for k in (0, 1))
    prompts = {str(i): f"p{i}" for i in range(30)}
    found = compare_pooled(KEY, a, b, prompts)
    ratios = top.sum(1) / bottom.sum(1)
    assert found.interval.mean == pytest.approx(ratios[1] - ratios[0])
    used = (bottom > 0).any(0)
    units = linearized_ratios(top[1][used], bottom[1][used]) - linearized_ratios(
        top[0][used], bottom[0][used]
    )
    weights = (bottom / bottom.sum(1, keepdims=True)).sum(0)[used]
    degrees = weights.sum() ** 2 / (weights**2).sum() - 1
    assert found.interval.bounds == pytest.approx(t_bounds(units, degrees=degrees))
    assert found.interval.num == used.sum() < 30
    assert 0 < found.p < 0.2
    halves = compare_pooled(KEY, a, b, {name: f"p{int(name) // 2}" for name in prompts})
    assert halves.interval.num_groups == 15
    assert halves.interval.mean == pytest.approx(found.interval.mean)
    assert compare_pooled(KEY, a, a, prompts).p is None
    assert compare_pooled(KEY, a, {str(i): (0.0, 0.0) for i in range(30)}, prompts) is None
    assert compare_pooled(KEY, a, {}, prompts) is None
