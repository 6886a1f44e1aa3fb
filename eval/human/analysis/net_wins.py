"""Net win rates: majority per prompt, interval over prompts, rater variance, significance."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.core.intervals import Interval, mean_interval, ratio_interval
from eval.core.paired_tests import holm, permutation_p
from eval.human.analysis.preferences import Preference
from src.core.rng import numpy_generator

BENCH_MINI = 381
# Standard deviations of net win rates over four repetitions on 381 prompts (Movie Gen, sec. 3.5). The paper
# prints motion completeness and naturalness in both orders; these are those of its first table.
PAPER_SIGMA = {
    "text_subject": 3.74,
    "text_motion": 3.74,
    "visual_overall": 5.07,
    "frame_consistency": 4.08,
    "motion_completeness": 1.68,
    "motion_naturalness": 3.98,
    "realness": 2.52,
    "aesthetics": 4.84,
}
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class NetWin:
    """Net win rate of `a` over `b` on one axis (and slice), in points of 100.

    `win`, `tie`, `loss`: fractions of prompts; with the policy "mean" those of votes. `no_majority`: prompts
    without one. `unanimous`: fraction of prompts with several votes that all agree. `rater_sigma`: standard
    deviation over other raters for the same prompts, which the interval contains already. `sign_p`, `p`: sign
    and permutation test over prompts; `p_holm`: the latter corrected over all tests of the report.
    """

    axis: str
    a: str
    b: str
    slice: str
    interval: Interval
    win: float
    tie: float
    loss: float
    num_prompts: int
    num_votes: int
    num_raters: int
    no_majority: int
    unanimous: float
    rater_sigma: float
    sign_p: float
    p: float
    p_holm: float = math.nan

    @property
    def by_paper(self) -> str:
        """The paper's rule: more than two sigma significant, one to two moderate, below on par."""
        sigma = paper_sigma(self.axis, self.num_prompts)
        if sigma is None:
            return "no sigma published"
        size = abs(self.interval.mean) / sigma
        return "significant" if size > 2 else "moderate" if size >= 1 else "on par"


def paper_sigma(axis: str, num_prompts: int) -> float | None:
    """Return the paper's sigma of an axis at a number of prompts, from that at 381; None if not published."""
    sigma = PAPER_SIGMA.get(axis)
    return None if sigma is None else sigma * math.sqrt(BENCH_MINI / max(1, num_prompts))


def prompt_value(values: Sequence[int], no_majority: str) -> float | None:
    """Return the outcome of one prompt from its votes (1, 0, -1): the majority's, or by policy.

    A majority is the answer with strictly the most votes. Without one the value is 0 ("tie"), None
    ("drop") or the mean vote ("mean").
    """
    (first, most), *others = Counter(values).most_common()
    if not others or others[0][1] < most:
        return float(first)
    return {"tie": 0.0, "drop": None, "mean": float(np.mean(values))}[no_majority]


def net_win(
    preferences: Sequence[Preference], *, no_majority: str, slice: str = "all", seed: int = 0
) -> NetWin | None:
    """Return the net win rate of votes on one axis and pair of systems; None if no prompt has a value."""
    votes: dict[str, list[int]] = defaultdict(list)
    cluster: dict[str, str] = {}
    for each in preferences:
        votes[each.item].append(each.value)
        cluster[each.item] = each.cluster
    values, clusters = item_outcomes(votes, cluster, no_majority)
    if not len(values):
        return None
    several = [v for v in votes.values() if len(v) > 1]
    first = preferences[0]
    return NetWin(
        axis=first.axis,
        a=first.a,
        b=first.b,
        slice=slice,
        interval=net_win_interval(values, clusters, seed=seed),
        win=float((values > 0).mean()),
        tie=float((values == 0).mean()),
        loss=float((values < 0).mean()),
        num_prompts=len(values),
        num_votes=sum(map(len, votes.values())),
        num_raters=len({each.rater for each in preferences}),
        no_majority=sum(_has_no_majority(v) for v in votes.values()),
        unanimous=float(np.mean([len(set(v)) == 1 for v in several])) if several else math.nan,
        rater_sigma=rater_sigma(list(votes.values()), no_majority, seed=seed),
        sign_p=sign_p(values, clusters),
        p=permutation_p(_totals(values, clusters), seed=seed),
    )


def item_outcomes(
    votes: Mapping[str, Sequence[int]], cluster: Mapping[str, str], no_majority: str
) -> tuple[np.ndarray, list[str]]:
    """Return the outcomes of items that have one by the policy, and their prompts."""
    outcomes = {item: prompt_value(values, no_majority) for item, values in votes.items()}
    used = {item: value for item, value in outcomes.items() if value is not None}
    return np.array(list(used.values())), [cluster[item] for item in used]


def net_win_interval(values: np.ndarray, clusters: Sequence[str], *, seed: int = 0) -> Interval:
    """Return the net win rate of items' outcomes with its interval over prompts, in points of 100.

    Every item counts once, so that the rate is wins minus losses. Where prompts have unequal numbers of items
    (the policy "drop" makes them so), the number is random too, and the rate is a ratio of sums over prompts.
    """
    if len(set(Counter(clusters).values())) > 1:
        found = ratio_interval(values, np.ones(len(values)), clusters, kind="difference")
    else:
        found = mean_interval(values, clusters, kind="difference", seed=seed)
    return _in_points(found)


def net_wins(
    preferences: Sequence[Preference], *, no_majority: str, slices: bool = True, seed: int = 0
) -> list[NetWin]:
    """Return net win rates of every axis and pair, corrected by Holm over all of these, then of every tag."""
    groups: dict[tuple[str, str, str], list[Preference]] = defaultdict(list)
    for each in preferences:
        groups[each.axis, each.a, each.b].append(each)
    found = [net_win(group, no_majority=no_majority, seed=seed) for group in groups.values()]
    overall = [each for each in found if each is not None]
    corrected = holm([each.p for each in overall])
    rows = [replace(each, p_holm=p) for each, p in zip(overall, corrected, strict=True)]
    if not slices:
        return rows
    for group in groups.values():
        for tag in sorted({tag for each in group for tag in each.tags}):
            part = [each for each in group if tag in each.tags]
            row = net_win(part, no_majority=no_majority, slice=tag, seed=seed)
            if row is not None:
                rows.append(row)
    return rows


def rater_sigma(votes: Sequence[Sequence[int]], no_majority: str, *, seed: int = 0) -> float:
    """Return the standard deviation of the net win rate over other raters for the same prompts, in points.

    Votes are resampled within prompts. Their empirical distribution has (n - 1) / n of the variance, which is
    corrected. Prompts with one vote say nothing; with them alone the result is nan.
    """
    several = [np.asarray(each) for each in votes if len(each) > 1]
    if not several:
        return math.nan
    variance = 0.0
    for size in sorted({len(each) for each in several}):
        block = np.stack([each for each in several if len(each) == size])
        means = _resampled_outcomes(block, no_majority, seed)
        variance += float((means.var(0) * size / (size - 1)).sum())
    # prompts with one vote are taken as having the mean variance of the others
    return 100 * math.sqrt(variance / len(several) / len(votes))


def sign_p(values: np.ndarray, clusters: Sequence[str]) -> float:
    """Return the two-sided p-value of the sign test over prompts; prompts with a value of 0 are left out."""
    from scipy.stats import binomtest  # slow to import: not for --help

    totals = _totals(values, clusters)
    wins, losses = int((totals > 0).sum()), int((totals < 0).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _totals(values: np.ndarray, clusters: Sequence[str]) -> np.ndarray:
    """Return the sum of the outcomes of each prompt's items."""
    totals: dict[str, float] = defaultdict(float)
    for value, name in zip(values, clusters, strict=True):
        totals[name] += value
    return np.array(list(totals.values()))


def _resampled_outcomes(block: np.ndarray, no_majority: str, seed: int) -> np.ndarray:
    """Return outcomes [resamples, prompts] when the votes of each row are drawn with replacement."""
    num, size = block.shape
    rng = numpy_generator(seed, "human/rater_sigma", num, size)
    outcomes = np.empty((NUM_RESAMPLES, num))
    for index in range(NUM_RESAMPLES):
        drawn = np.take_along_axis(block, rng.integers(size, size=block.shape), 1)
        counts = np.stack([(drawn == value).sum(1) for value in (-1, 0, 1)], 1)
        most = counts.max(1)
        unique = (counts == most[:, None]).sum(1) == 1
        policy = drawn.mean(1) if no_majority == "mean" else 0.0
        outcomes[index] = np.where(unique, counts.argmax(1) - 1, policy)
    return outcomes


def _has_no_majority(values: Sequence[int]) -> bool:
    return prompt_value(values, "drop") is None


def _in_points(interval: Interval) -> Interval:
    """Return an interval of outcomes in points of 100, which none of its bounds exceeds."""
    bounds = {
        name: None if value is None else min(100.0, max(-100.0, 100 * value))
        for name, value in (("low", interval.low), ("high", interval.high))
    }
    return replace(interval, mean=100 * interval.mean, low=bounds["low"], high=bounds["high"])
