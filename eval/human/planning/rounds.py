"""The next round of an adaptive study: the items that shorten the longest intervals most."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from eval.human.analysis.adaptive import allocate_items, is_precise, pair_counts
from eval.human.analysis.bradley_terry import fit_strengths
from eval.human.analysis.net_wins import net_win
from eval.human.analysis.preferences import Preference
from eval.human.config import StudyConfig
from eval.human.planning.items import ItemPool, add_comparisons, add_controls
from eval.human.planning.samples import Clips
from eval.human.planning.sessions import AxisItems
from eval.human.schema import Axis, Item
from eval.human.study import Study
from src.core.rng import numpy_generator


def next_round(
    study: Study,
    settings: StudyConfig,
    pool: ItemPool,
    clips: Clips,
    axes: Sequence[Axis],
    preferences: Sequence[Preference],
) -> tuple[list[AxisItems], list[str]]:
    """Return the items of the next adaptive round, and a note for each axis that stops.

    Axes with more than two systems run until every strength's interval is short, others until that of the
    net win rate is. New items get one vote each: other prompts tell more than further votes on the same one.

    Raises:
        ValueError: the study is not adaptive.
    """
    if not settings.adaptive.enabled:
        raise ValueError("adaptive: the study was planned without adaptive.enabled=true")
    compared = add_comparisons(pool, settings, clips, axes)
    work, notes = [], []
    for axis in axes:
        if axis.answer != "choice":
            notes.append(f"{axis.id}: adaptive selection needs answers of two sides; nothing is added")
            continue
        votes = [each for each in preferences if each.axis == axis.id]
        used = {task.item for slot in study.slots.values() for task in slot.tasks if task.axis == axis.id}
        free = [item for item in compared[axis.id] if item.id not in used]
        chosen, note = _choose(settings, votes, free, study.plan.round + 1)
        notes.append(f"{axis.id}: {note}")
        if chosen:
            num_raters = 1 if len(settings.manifests) > 2 else settings.raters.get(axis.id, axis.num_raters)
            work.append(axis_items(settings, pool, clips, axis, chosen, num_raters))
    return work, notes


def _choose(
    settings: StudyConfig, votes: Sequence[Preference], free: Sequence[Item], round: int
) -> tuple[list[Item], str]:
    """Return the items of one axis for the next round and a note with the current half widths."""
    rng = numpy_generator(settings.seed, "human/adaptive", round)
    shuffled = [free[index] for index in rng.permutation(len(free))]
    systems, options = list(settings.manifests), settings.adaptive
    if len(systems) == 2:
        found = net_win(votes, no_majority=settings.no_majority, seed=settings.seed)
        bounds = found.interval.bounds if found else None
        half = (bounds[1] - bounds[0]) / 2 if bounds else float("inf")
        if half <= options.half_width:
            return [], f"stopped: half width {half:.1f} of at most {options.half_width:g} points"
        chosen = shuffled[: options.round_items]
        return chosen, f"half width {half:.1f} points, {len(chosen)} of {len(free)} unused items added"
    codes = {name: index for index, name in enumerate(systems)}
    first = np.array([codes[each.a] for each in votes], np.intp)
    second = np.array([codes[each.b] for each in votes], np.intp)
    outcomes = np.array([each.value for each in votes], np.intp)
    fitted = fit_strengths(systems, first, second, outcomes, [each.cluster for each in votes])
    widest = float(fitted.half_widths().max())
    if is_precise(fitted, options.strength_half_width):
        return [], f"stopped: half width {widest:.2f} of at most {options.strength_half_width:g}"
    by_pair: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in shuffled:
        i, j = sorted(codes[name] for name in item.systems)
        by_pair[i, j].append(item)
    given = allocate_items(
        fitted.values,
        fitted.tie,
        pair_counts(first.tolist(), second.tolist(), [each.item for each in votes]),
        options.round_items,
        {pair: len(group) for pair, group in by_pair.items()},
    )
    chosen = [item for pair, number in given.items() for item in by_pair[pair][:number]]
    return chosen, f"half width {widest:.2f}, {len(chosen)} of {len(free)} unused items added"


def axis_items(
    settings: StudyConfig, pool: ItemPool, clips: Clips, axis: Axis, items: list[Item], num_raters: int
) -> AxisItems:
    """Return the work on items of one axis with its practice and controls."""
    practice, gold, identical = add_controls(pool, settings, clips, axis)
    return AxisItems(axis, num_raters, items, practice, gold, identical)
