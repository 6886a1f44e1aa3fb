"""The tables of a report."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from eval.core.intervals import Interval
from eval.human.analysis.preferences import Mark
from eval.human.reporting.results import Results
from eval.human.reporting.table import Table, format_p


def all_tables(results: Results) -> list[Table]:
    """Return the tables that have rows, in the order of a report."""
    tables = [
        net_win_table(results),
        significance_table(results),
        slice_table(results),
        score_table(results),
        strength_table(results),
        reliability_table(results),
        exclusion_table(results),
        rater_table(results),
        effect_table(results),
        halo_table(results),
        mark_table(results),
    ]
    return [table for table in tables if table.rows]


def net_win_table(results: Results) -> Table:
    """Return net win rates, as a paper prints them."""
    heads = ("axis", "A", "B", "net win rate", "win %", "tie %", "loss %", "prompts", "Holm p")
    rows = [
        (
            row.axis,
            row.a,
            row.b,
            row.interval,
            100 * row.win,
            100 * row.tie,
            100 * row.loss,
            row.num_prompts,
            format_p(row.p_holm),
        )
        for row in results.net_wins
        if row.slice == "all"
    ]
    notes = (
        "net win rate: prompts that A wins minus those it loses, in points of 100, after the majority of "
        "raters; 95 % intervals over prompts",
        "Holm p: the permutation test over prompts, corrected over all rows",
    )
    return Table("net_wins", "Net win rates", heads, rows, notes)


def significance_table(results: Results) -> Table:
    """Return what stands behind the net win rates: votes, rater variance, tests."""
    heads = ("axis", "A", "B", "votes", "no majority", "unanimous %", "rater σ", "paper's rule")
    rows = [
        (
            row.axis,
            row.a,
            row.b,
            row.num_votes,
            row.no_majority,
            100 * row.unanimous,
            row.rater_sigma,
            row.by_paper,
            format_p(row.sign_p),
            format_p(row.p),
        )
        for row in results.net_wins
        if row.slice == "all"
    ]
    notes = (
        "no majority: prompts without one; unanimous: of prompts with several votes",
        "rater σ: standard deviation of the net win rate if other raters voted on the same prompts; the "
        "interval contains it. The paper's rule compares with its own σ for 381 prompts, which is that of "
        "raters alone",
    )
    return Table("significance", "Votes and tests", (*heads, "sign p", "permutation p"), rows, notes)


def slice_table(results: Results) -> Table:
    """Return net win rates by tag."""
    rows = [
        (row.axis, row.a, row.b, row.slice, row.interval, row.num_prompts, format_p(row.p))
        for row in results.net_wins
        if row.slice != "all"
    ]
    notes = ("p-values of slices are not corrected",)
    heads = ("axis", "A", "B", "tag", "net win rate", "prompts", "permutation p")
    return Table("slices", "Net win rates by tag", heads, rows, notes)


def score_table(results: Results) -> Table:
    """Return mean scores of systems."""
    rows = [
        (
            row.axis,
            row.system,
            row.mean,
            None if row.accepted is None else _in_percent(row.accepted),
            row.mean.num,
        )
        for row in results.score_rows
    ]
    return Table("scores", "Scores", ("axis", "system", "mean", "4 or 5, %", "votes"), rows)


def strength_table(results: Results) -> Table:
    """Return Bradley-Terry strengths and Elo ratings."""
    rows = []
    for each in results.ratings:
        widths = each.strengths.half_widths()
        for index in sorted(range(len(widths)), key=lambda i: -each.strengths.values[i]):
            value, elo = float(each.strengths.values[index]), each.elo[index]
            low, high = value - float(widths[index]), value + float(widths[index])
            interval = Interval(value, low, high, 0, each.strengths.num_clusters, "sandwich")
            rows.append((each.axis, elo.system, interval, f"{elo.mean:.0f} ± {elo.deviation:.0f}"))
    notes = (
        "strength: Bradley-Terry with ties after Davidson, logit scale, mean 0; intervals over prompts",
        "Elo: mean and standard deviation over 200 random orders of the votes, K = 4, start 1000",
    )
    heads = ("axis", "system", "strength", "Elo")
    return Table("strengths", "Strengths of systems", heads, rows, notes)


def reliability_table(results: Results) -> Table:
    """Return agreement between raters."""
    heads = ("axis", "items", "agreement", "Fleiss κ", "α nominal", "α ordinal", "Gwet AC1")
    rows = [
        (axis, found["agreement"].num_items, *found.values())
        for axis, found in results.reliability.items()
        if found
    ]
    notes = (
        "items with at least two votes; unequal numbers of raters are allowed; 95 % intervals over prompts",
    )
    return Table("reliability", "Agreement between raters", heads, rows, notes)


def exclusion_table(results: Results) -> Table:
    """Return what was left out, and why."""
    exclusion = results.exclusion
    if exclusion is None:
        return Table("exclusion", "Exclusion", ("rule", "votes"), [])
    rows: list[tuple[Any, ...]] = list(exclusion.dropped.items())
    rows.append(("counted", exclusion.num_votes - sum(exclusion.dropped.values())))
    excluded = len(exclusion.excluded_raters)
    notes = (f"{excluded} of {len(exclusion.raters)} raters excluded; rules were fixed before voting",)
    return Table("exclusion", "Exclusion", ("rule", "votes"), rows, notes)


def rater_table(results: Results) -> Table:
    """Return the raters."""
    heads = (
        "rater",
        "votes",
        "gold",
        "repeats equal",
        "left / right",
        "median time s",
        "accuracy",
        "excluded",
    )
    rows = [
        (
            row.rater,
            row.num_votes,
            _ratio(row.gold),
            _ratio(row.repeats),
            f"{row.sides[0]} / {row.sides[1]}" if sum(row.sides) else None,
            row.median_time_s,
            row.accuracy,
            "; ".join(row.reasons) or None,
        )
        for row in results.raters
    ]
    notes = (
        "accuracy: probability of the true answer by the model of Dawid and Skene, from the votes alone",
    )
    return Table("raters", "Raters", heads, rows, notes)


def effect_table(results: Results) -> Table:
    """Return left bias, order and fatigue, gold and identical pairs."""
    rows: list[tuple[Any, ...]] = [(each.name, each.interval, each.unit) for each in results.effects]
    if total := sum(results.identical.values()):
        text = ", ".join(f"{name} {num}" for name, num in results.identical.items())
        rows.append(
            ("identical clips", f"{100 * results.identical['equal'] / total:.1f}", f"% equal ({text})")
        )
    if results.gold[1]:
        rows.append(("gold items", f"{100 * results.gold[0] / results.gold[1]:.1f}", "% correct"))
    notes = ("time, equal, left bias: last third of a session minus first third, within raters",)
    return Table("effects", "Sides, order and fatigue", ("effect", "value", "unit"), rows, notes)


def halo_table(results: Results) -> Table:
    """Return correlations between axes."""
    heads = ("axis", "axis ", "within raters", "n", "equal answers %", "between items", "items")
    rows = [
        (
            each.first,
            each.second,
            each.within_raters,
            each.num_within,
            100 * each.equal,
            each.between_items,
            each.num_items,
        )
        for each in results.halo
    ]
    notes = ("high correlations within raters on the same items say that axes were not told apart",)
    return Table("halo", "Halo between axes", heads, rows, notes)


def mark_table(results: Results) -> Table:
    """Return the marked breaks by axis and system."""
    groups: dict[tuple[str, str], list[Mark]] = defaultdict(list)
    for mark in results.marks:
        groups[mark.axis, mark.system].append(mark)
    rows = [
        (
            axis,
            system,
            len(group),
            len({mark.sample for mark in group}),
            median(mark.seconds for mark in group),
        )
        for (axis, system), group in sorted(groups.items())
    ]
    heads = ("axis", "system", "marks", "clips with marks", "median second")
    return Table("marks", "Marked breaks", heads, rows)


def _ratio(counts: Sequence[int]) -> str | None:
    return f"{counts[0]}/{counts[1]}" if counts[1] else None


def _in_percent(interval: Interval) -> Interval:
    low, high = (None if each is None else 100 * each for each in (interval.low, interval.high))
    return Interval(100 * interval.mean, low, high, interval.num, interval.num_groups, interval.method)
