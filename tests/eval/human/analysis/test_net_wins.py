import math

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, t, wilcoxon

from eval.human.analysis.net_wins import (
    net_win,
    net_wins,
    paper_sigma,
    prompt_value,
    rater_sigma,
    sign_p,
)
from eval.human.analysis.preferences import Preference


def votes(table: dict[str, list[int]], axis: str = "realness", **more: object) -> list[Preference]:
    return [
        Preference(f"r{r}", axis, item, item, item, "a", "b", value, **more)  # type: ignore[arg-type]
        for item, values in table.items()
        for r, value in enumerate(values)
    ]


def test_majority_and_its_policies() -> None:
    assert prompt_value([1, 1, -1], "tie") == 1
    assert prompt_value([1, 0, -1], "tie") == 0
    assert prompt_value([1, 0, -1], "drop") is None
    assert prompt_value([1, 1, 1, 0, 0, 0], "mean") == 0.5
    assert prompt_value([0, 0, 1], "mean") == 0


def test_net_win_rate_by_hand() -> None:
    table = {
        "1": [1, 1, 0],
        "2": [1, 1, 1],
        "3": [-1, -1, 1],
        "4": [1, 0, -1],
        "5": [0, 0, 1],
        "6": [1, 1, -1],
    }
    row = net_win(votes(table), no_majority="tie")
    assert row is not None
    assert row.interval.mean == pytest.approx(100 * (3 - 1) / 6)
    assert (row.win, row.tie, row.loss) == pytest.approx((3 / 6, 2 / 6, 1 / 6))
    assert (row.num_prompts, row.num_votes, row.num_raters, row.no_majority) == (6, 18, 3, 1)
    assert row.unanimous == pytest.approx(1 / 6)
    dropped = net_win(votes(table), no_majority="drop")
    assert dropped is not None
    assert dropped.interval.mean == pytest.approx(100 * (3 - 1) / 5)
    assert net_win(votes({"1": [1, -1]}), no_majority="drop") is None


def test_every_item_counts_once_where_prompts_have_unequal_numbers_of_items() -> None:
    outcomes = {"p1": [1, 1, 1], "p2": [-1], "p3": [1, -1], "p4": [0, 1], "p5": [-1], "p6": [1]}
    rows = [
        Preference("r", "realness", f"{prompt}.{i}", f"{prompt}.{i}", prompt, "a", "b", value)
        for prompt, values in outcomes.items()
        for i, value in enumerate(values)
    ]
    row = net_win(rows, no_majority="tie")
    assert row is not None
    assert (row.interval.mean, 100 * (row.win - row.loss)) == pytest.approx((30, 30))
    # Cochran 1977, section 6.3: the variance of a ratio of sums over prompts
    totals, sizes = (np.array([f(v) for v in outcomes.values()], float) for f in (sum, len))
    error = 100 * (totals - 0.3 * sizes).std(ddof=1) / np.sqrt(6) / sizes.mean()
    assert row.interval.bounds is not None
    assert 30 - row.interval.bounds[0] == pytest.approx(
        t.ppf(0.975, 10**2 / (9 + 1 + 4 + 4 + 1 + 1) - 1) * error
    )


def test_bounds_stay_within_the_scale() -> None:
    row = net_win(votes({str(i): [1 if i else 0] for i in range(8)}), no_majority="tie")
    assert row is not None
    assert row.interval.bounds is not None
    assert row.interval.bounds[1] == 100


def test_tests_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([1, 0, -1], 60, p=[0.5, 0.2, 0.3]).astype(float)
    names = [str(i) for i in range(60)]
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    assert sign_p(values, names) == pytest.approx(binomtest(wins, wins + losses).pvalue)
    row = net_win(votes({n: [int(v)] for n, v in zip(names, values, strict=True)}), no_majority="tie")
    reference = permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(1)
    )
    assert row is not None
    assert row.p == pytest.approx(reference.pvalue, abs=0.01)
    # Darwin's maize (Fisher 1935): the permutation test of 15 differences has p = 0.05267
    maize = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], float)
    exact = permutation_test((maize,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert exact.pvalue == pytest.approx(0.05267, abs=1e-4)
    from eval.core.paired_tests import permutation_p

    assert permutation_p(maize) == pytest.approx(exact.pvalue, abs=0.007)
    assert sign_p(maize, [str(i) for i in range(15)]) == pytest.approx(binomtest(13, 15).pvalue)
    assert wilcoxon(maize).pvalue < 0.05


def test_holm_over_axes_and_slices() -> None:
    strong = votes({str(i): [1] for i in range(30)}, "realness", tags=("low",))
    weak = votes({str(i): [1 if i % 2 else -1] for i in range(30)}, "aesthetics")
    rows = net_wins([*strong, *weak], no_majority="tie")
    overall = {row.axis: row for row in rows if row.slice == "all"}
    assert overall["realness"].p_holm == pytest.approx(2 * overall["realness"].p)
    assert overall["aesthetics"].p_holm == pytest.approx(overall["aesthetics"].p)
    (part,) = (row for row in rows if row.slice == "low")
    assert part.num_prompts == 30
    assert math.isnan(part.p_holm)


def test_the_papers_rule() -> None:
    assert paper_sigma("visual_overall", 381) == 5.07
    assert paper_sigma("visual_overall", 4 * 381) == pytest.approx(5.07 / 2)
    assert paper_sigma("audio_overall", 381) is None
    table = {str(i): [1 if i < 205 else -1] for i in range(381)}
    row = net_win(votes(table, "visual_overall"), no_majority="tie")
    assert row is not None
    assert row.interval.mean == pytest.approx(100 * 29 / 381)
    assert row.by_paper == "moderate"  # 7.6 points are 1.5 sigma
    assert row.interval.bounds is not None
    assert row.interval.bounds[0] < 0


def test_rater_sigma_is_the_spread_over_other_raters() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet([2, 1, 2], 150)

    def study() -> list[list[int]]:
        return [list(rng.choice([1, 0, -1], 3, p=row)) for row in p]

    def rate(table: list[list[int]]) -> float:
        return 100 * float(np.mean([prompt_value(row, "tie") for row in table]))

    truth = np.std([rate(study()) for _ in range(300)])
    estimates = [rater_sigma(study(), "tie") for _ in range(5)]
    assert np.mean(estimates) == pytest.approx(truth, rel=0.15)
    assert math.isnan(rater_sigma([[1], [0]], "tie"))
