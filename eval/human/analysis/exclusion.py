"""Exclusion of raters and answers by the rules of the study's settings, which were fixed before voting."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from eval.human.answers import meets_expectation, preference
from eval.human.config import ExclusionConfig
from eval.human.schema import Axis, Item, RaterRecord, VoteRecord


@dataclass(frozen=True)
class RaterSummary:
    """The counts of one rater that the rules compare; the time is None if none was recorded."""

    rater: str
    num_votes: int
    gold: tuple[int, int]  # correct, answered
    repeats: tuple[int, int]  # equal, answered
    sides: tuple[int, int]  # left preferred, right preferred
    side_p: float
    median_time_s: float | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exclusion:
    """Votes that count, and what was left out and why; counts are of votes on compared items."""

    votes: list[VoteRecord]
    raters: list[RaterSummary]
    excluded_raters: dict[str, tuple[str, ...]]
    dropped: dict[str, int] = field(default_factory=dict)
    num_votes: int = 0


def apply_rules(
    votes: Sequence[VoteRecord],
    items: Mapping[str, Item],
    axes: Mapping[str, Axis],
    raters: Sequence[RaterRecord],
    rules: ExclusionConfig,
) -> Exclusion:
    """Return the votes that count by the rules; practice items never do.

    Raters are looked at with all their answers; an answer is left out for the first rule it breaks.
    """
    by_rater: dict[str, list[VoteRecord]] = defaultdict(list)
    for vote in votes:
        by_rater[vote.rater].append(vote)
    summaries = [_summarize(rater, answers, items, rules) for rater, answers in sorted(by_rater.items())]
    excluded = {each.rater: each.reasons for each in summaries if each.reasons}
    failed = _failed_qualifications(by_rater, items, axes) if rules.require_qualification else set()
    screened = {each.rater for each in raters if each.status == "screened_out"}
    screened &= set(by_rater) if rules.require_qualification else set()
    kept, dropped, num_votes = [], Counter[str](), 0
    for vote in votes:
        kind = items[vote.item].kind
        if kind in ("example", "qualification"):
            continue
        num_votes += kind == "pair"
        reason = (
            "rater excluded"
            if vote.rater in excluded
            else "qualification not passed"
            if (vote.rater, vote.axis) in failed or vote.rater in screened
            else _evidence_reason(vote, rules)
        )
        if not reason:
            kept.append(vote)
        elif kind == "pair":
            dropped[reason] += 1
    return Exclusion(kept, summaries, excluded, dict(dropped), num_votes)


def gold_results(votes: Sequence[VoteRecord], items: Mapping[str, Item]) -> list[tuple[VoteRecord, bool]]:
    """Return the answers to gold items and whether each is the expected one."""
    return [
        (vote, bool(meets_expectation(items[vote.item], vote.order, vote.answer)))
        for vote in votes
        if items[vote.item].kind == "gold"
    ]


def _summarize(
    rater: str, votes: Sequence[VoteRecord], items: Mapping[str, Item], rules: ExclusionConfig
) -> RaterSummary:
    gold = [correct for _, correct in gold_results(votes, items)]
    repeats = _repeated_answers(votes, items)
    sides = Counter(
        vote.answer["choice"]
        for vote in votes
        if "choice" in vote.answer and items[vote.item].kind in ("pair", "identical")
    )
    times = [
        vote.evidence.time_s for vote in votes if items[vote.item].kind == "pair" and vote.evidence.time_s > 0
    ]
    left, right = sides["left"], sides["right"]
    side_p = _binomial_p(left, left + right)
    middle = median(times) if times else None
    reasons = []
    if len(gold) >= rules.min_gold and 1 - sum(gold) / len(gold) > rules.max_gold_failures:
        reasons.append(f"gold: {sum(gold)} of {len(gold)} correct")
    if len(repeats) >= rules.min_repeats and sum(repeats) / len(repeats) < rules.min_repeat_agreement:
        reasons.append(f"repeats: {sum(repeats)} of {len(repeats)} equal")
    if side_p < rules.max_side_p:
        reasons.append(f"sides: {left} left, {right} right")
    if middle is not None and middle < rules.min_median_time_s:
        reasons.append(f"time: median {middle:.1f} s")
    return RaterSummary(
        rater=rater,
        num_votes=sum(items[vote.item].kind == "pair" for vote in votes),
        gold=(sum(gold), len(gold)),
        repeats=(sum(repeats), len(repeats)),
        sides=(left, right),
        side_p=side_p,
        median_time_s=middle,
        reasons=tuple(reasons),
    )


def _repeated_answers(votes: Sequence[VoteRecord], items: Mapping[str, Item]) -> list[bool]:
    """Return for each answered repeat whether its answer equals that to the original."""
    first = {(vote.item, vote.axis): vote for vote in votes}
    same = []
    for vote in votes:
        original = first.get((items[vote.item].repeat_of, vote.axis))
        if items[vote.item].kind == "repeat" and original is not None:
            answers = [preference(each.answer, each.order, 0, 1) for each in (original, vote)]
            same.append(answers[0] == answers[1])
    return same


def _failed_qualifications(
    by_rater: Mapping[str, Sequence[VoteRecord]], items: Mapping[str, Item], axes: Mapping[str, Axis]
) -> set[tuple[str, str]]:
    """Return (rater, axis) with answered qualification items and too few correct ones."""
    failed = set()
    for rater, votes in by_rater.items():
        results: dict[str, list[bool]] = defaultdict(list)
        for vote in votes:
            if items[vote.item].kind == "qualification":
                results[vote.axis].append(bool(meets_expectation(items[vote.item], vote.order, vote.answer)))
        for axis, correct in results.items():
            if sum(correct) < min(axes[axis].min_correct, len(correct)):
                failed.add((rater, axis))
    return failed


def _evidence_reason(vote: VoteRecord, rules: ExclusionConfig) -> str:
    evidence = vote.evidence
    for watched, length in zip(evidence.watched_s, evidence.duration_s, strict=False):
        if length > 0 and watched < rules.min_watched_fraction * length:
            return "not watched to the end"
    if evidence.time_s > 0 and evidence.hidden_s > rules.max_hidden_fraction * evidence.time_s:
        return "page hidden"
    return ""


def _binomial_p(successes: int, num: int) -> float:
    from scipy.stats import binomtest  # slow to import: not for --help

    return float(binomtest(successes, num).pvalue) if num else 1.0
