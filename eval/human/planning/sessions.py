"""Sessions (slots): the items of each axis dealt to raters, with controls, in order, with sides."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.human.config import StudyConfig
from eval.human.planning.items import ItemPool
from eval.human.planning.ordering import insert_repeats, shuffle_apart
from eval.human.planning.sides import balanced_flips
from eval.human.planning.stimuli import opaque_id
from eval.human.schema import PRACTICE, Axis, Item, Slot, Task
from src.core.rng import numpy_generator


@dataclass(frozen=True)
class AxisItems:
    """The items of one axis: what is compared, and practice, gold and identical items."""

    axis: Axis
    num_raters: int
    compared: list[Item]
    practice: list[Item]
    gold: list[Item]
    identical: list[Item]


@dataclass(frozen=True)
class Pass:
    """One axis in one session, in order."""

    axis: Axis
    items: list[Item]


def build_slots(
    config: StudyConfig, pool: ItemPool, work: Sequence[AxisItems], *, round: int = 0, first: int = 0
) -> list[Slot]:
    """Deal every item of every axis to as many sessions as it needs raters; no session has an item twice.

    Items are dealt again for each rater, so that two sessions share few items, and every axis has its own
    permutation, so that one rater seldom scores a clip on two axes. `first` is the number of the first
    session within its round.
    """
    sessions = []
    for replicate in range(max(part.num_raters for part in work)):
        parts = [part for part in work if replicate < part.num_raters]
        for group in _axis_groups(config, parts):
            sessions += _deal(config, group, replicate, round)
    slots = [
        (
            opaque_id(config.seed, "slot", str(round), str(number)),
            _order_session(config, pool, session, number, round),
        )
        for number, session in enumerate(sessions, first)
    ]
    return _with_sides(config, pool, slots, round)


def _axis_groups(config: StudyConfig, parts: Sequence[AxisItems]) -> list[list[AxisItems]]:
    size = config.axes_per_slot if config.tasks_per_slot else len(parts)
    return [list(parts[start : start + size]) for start in range(0, len(parts), size)]


def _deal(
    config: StudyConfig, group: Sequence[AxisItems], replicate: int, round: int
) -> list[list[tuple[AxisItems, list[Item]]]]:
    """Return for each session of one replicate its axes with their compared items."""
    largest = max(len(part.compared) for part in group)
    per_axis = -(-config.tasks_per_slot // len(group)) or largest
    num_sessions = max(1, -(-largest // per_axis))
    dealt: list[list[tuple[AxisItems, list[Item]]]] = [[] for _ in range(num_sessions)]
    for part in group:
        rng = numpy_generator(config.seed, f"human/deal/{part.axis.id}", replicate, round)
        order = rng.permutation(len(part.compared))
        for number, indices in enumerate(np.array_split(order, num_sessions)):
            if len(indices):
                dealt[number].append((part, [part.compared[index] for index in indices]))
    return [session for session in dealt if session]


def _order_session(
    config: StudyConfig,
    pool: ItemPool,
    session: list[tuple[AxisItems, list[Item]]],
    number: int,
    round: int,
) -> list[Pass]:
    """Return the passes of one session: axes rotate from session to session, controls are mixed in."""
    turn = number % len(session)
    passes: list[Pass] = []
    last = ""
    for part, compared in session[turn:] + session[:turn]:
        rng = numpy_generator(config.seed, f"human/order/{part.axis.id}", number, round)
        gold = _take(part.gold, config.gold_fraction, len(compared), number, rng)
        identical = _take(part.identical, config.identical_fraction, len(compared), number, rng)
        practice: list[Item] = []
        for kind in PRACTICE:
            some = [item for item in part.practice if item.kind == kind]
            practice += shuffle_apart(some, lambda item: item.sample, rng, before=last)
            last = practice[-1].sample if practice else last
        ordered = shuffle_apart([*compared, *gold, *identical], lambda item: item.sample, rng, before=last)
        repeats = []
        if part.axis.answer == "choice":
            early = [item for item in ordered[: max(1, len(ordered) // 2)] if item.kind == "pair"]
            chosen = _take(early, config.repeat_fraction, len(compared), number, rng)
            repeats = [(item, pool.repeat(item)) for item in chosen]
        ordered = insert_repeats(ordered, repeats, lambda item: item.sample, rng)
        last = ordered[-1].sample
        passes.append(Pass(part.axis, [*practice, *ordered]))
    return passes


def _take(
    items: Sequence[Item], fraction: float, num_compared: int, number: int, rng: np.random.Generator
) -> list[Item]:
    """Return the control items of one pass: `fraction` of the compared ones on average over sessions."""
    count = int((number + 1) * fraction * num_compared + 1e-9) - int(number * fraction * num_compared + 1e-9)
    return [items[index] for index in rng.permutation(len(items))[:count]]


def _with_sides(
    config: StudyConfig, pool: ItemPool, slots: Sequence[tuple[str, list[Pass]]], round: int
) -> list[Slot]:
    """Turn items into tasks: sides balanced for compared items and for controls, repeats swapped."""
    flat = [
        (slot, each.axis, item)
        for slot, passes in slots
        for each in passes
        for item in each.items
        if len(item.stimuli) == 2 and item.kind != "repeat"
    ]
    kind = {"pair": "pair", "gold": "control", "identical": "control"}
    left, right = [], []
    for slot, axis, item in flat:
        group = kind.get(item.kind, "practice")
        pair = (group, item.systems)
        left.append([(slot, axis.id, pair), (slot, axis.id, group), (slot, group), group])
        right.append([(axis.id, item.id), (axis.id, pair), (axis.id, group), group])
    flips = balanced_flips(left, right, seed=config.seed + round)
    flipped = {
        (slot, axis.id, item.id): bool(flip) for (slot, axis, item), flip in zip(flat, flips, strict=True)
    }
    built = []
    for slot, passes in slots:
        tasks = []
        for each in passes:
            for item in each.items:
                if len(item.stimuli) == 2:
                    of = item.repeat_of or item.id
                    flip = flipped[slot, each.axis.id, of] != (item.kind == "repeat")
                    order: tuple[int, ...] = (1, 0) if flip else (0, 1)
                else:
                    rng = numpy_generator(config.seed, f"human/positions/{slot}/{each.axis.id}/{item.id}")
                    order = tuple(map(int, rng.permutation(len(item.stimuli))))
                tasks.append(Task(item=item.id, axis=each.axis.id, order=order))
        built.append(Slot(id=slot, tasks=tuple(tasks), round=round))
    return built


def count_votes(slots: Sequence[Slot], items: dict[str, Item]) -> dict[tuple[str, str], int]:
    """Return the number of planned votes for each compared item and axis."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for slot in slots:
        for task in slot.tasks:
            if items[task.item].kind == "pair":
                counts[task.item, task.axis] += 1
    return dict(counts)
