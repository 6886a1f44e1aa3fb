"""Agreement between raters, against published examples and other packages."""

import krippendorff
import numpy as np
import pytest

from eval.human.analysis.reliability import (
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    percent_agreement,
    with_interval,
)

# Fleiss (1971), table 1: 30 patients, 6 psychiatrists, 5 diagnoses; kappa = 0.430
FLEISS = np.array([
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0],
    [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0],
    [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0],
    [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
], float)  # fmt: skip
# Krippendorff (2011), "Computing Krippendorff's alpha-reliability": 4 observers, 12 units, missing values;
# alpha is 0.743 (nominal), 0.815 (ordinal), 0.849 (interval)
NAN = np.nan
OBSERVERS = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
])  # fmt: skip
KRIPPENDORFF = np.stack([(value == OBSERVERS).sum(0) for value in range(1, 6)], 1).astype(float)


def random_counts(seed: int, sizes: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([rng.multinomial(size, [0.5, 0.2, 0.3]) for size in sizes], float)


def test_fleiss_published_example() -> None:
    assert fleiss_kappa(FLEISS) == pytest.approx(0.430, abs=5e-4)
    statsmodels = pytest.importorskip(
        "statsmodels.stats.inter_rater", reason="not in requirements/human.lock"
    )
    assert fleiss_kappa(FLEISS) == pytest.approx(statsmodels.fleiss_kappa(FLEISS), abs=1e-12)


@pytest.mark.parametrize(("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_published_example(level: str, value: float) -> None:
    assert krippendorff_alpha(KRIPPENDORFF, level=level) == pytest.approx(value, abs=5e-4)
    reference = krippendorff.alpha(reliability_data=OBSERVERS, level_of_measurement=level)
    assert krippendorff_alpha(KRIPPENDORFF, level=level) == pytest.approx(reference, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_parity_on_random_votes(seed: int) -> None:
    equal = random_counts(seed, np.full(40, 5))
    statsmodels = pytest.importorskip(
        "statsmodels.stats.inter_rater", reason="not in requirements/human.lock"
    )
    assert fleiss_kappa(equal) == pytest.approx(statsmodels.fleiss_kappa(equal), abs=1e-12)
    unequal = random_counts(seed, np.random.default_rng(seed).integers(1, 7, 60))
    for level in ("nominal", "ordinal", "interval"):
        reference = krippendorff.alpha(value_counts=unequal.astype(int), level_of_measurement=level)
        assert krippendorff_alpha(unequal, level=level) == pytest.approx(reference, abs=1e-10)


def test_unequal_numbers_of_random_votes_do_not_agree() -> None:
    # rescaling items to the largest number of raters gives 0.185 here
    sizes = np.repeat([2, 5], 4000)
    assert abs(fleiss_kappa(random_counts(0, sizes))) < 0.02


def test_gwet_by_hand() -> None:
    # two raters, two categories, 125 items (Gwet 2008, table 1 has such margins): 118 + 2 agree, 5 do not
    counts = np.array([[2, 0]] * 118 + [[1, 1]] * 5 + [[0, 2]] * 2, float)
    agreement, prevalence = 120 / 125, (118 + 2.5) / 125
    chance = 2 * prevalence * (1 - prevalence)
    assert percent_agreement(counts) == pytest.approx(agreement)
    assert gwet_ac1(counts) == pytest.approx((agreement - chance) / (1 - chance))
    assert gwet_ac1(counts) > 0.95 > fleiss_kappa(counts) + 0.4


def test_weights_are_copies_and_single_votes_are_left_out() -> None:
    counts = random_counts(4, np.full(20, 4))
    weights = np.random.default_rng(0).integers(0, 3, 20)
    copies = np.repeat(counts, weights, axis=0)
    for statistic in (fleiss_kappa, gwet_ac1, krippendorff_alpha, percent_agreement):
        assert statistic(counts, weights.astype(float)) == pytest.approx(statistic(copies))
        with_single = np.concatenate([counts, [[1, 0, 0]] * 7])
        assert statistic(with_single) == pytest.approx(statistic(counts))


def test_interval_contains_the_value_and_is_wider_by_prompt() -> None:
    counts = np.repeat(random_counts(1, np.full(30, 3)), 4, axis=0)
    single = with_interval(fleiss_kappa, counts, [str(i) for i in range(120)], num_resamples=200)
    by_prompt = with_interval(fleiss_kappa, counts, [str(i // 4) for i in range(120)], num_resamples=200)
    assert single.low is not None
    assert by_prompt.low is not None
    assert by_prompt.high is not None
    assert single.high is not None
    assert by_prompt.low <= by_prompt.value <= by_prompt.high
    assert by_prompt.high - by_prompt.low > 1.4 * (single.high - single.low)
    assert with_interval(fleiss_kappa, counts[:4], ["a"] * 4).low is None
