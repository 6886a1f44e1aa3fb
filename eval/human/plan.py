"""Plan a study: `python -m eval.human plan STUDY.yaml out=FOLDER [key=value ...]`.

Aligns the systems' samples, prepares their media for browsers, and writes who compares what, in which order
and on which side. The same settings and media give the same plan; its hash is in every report.
"""

import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from eval.human.axes import select_axes
from eval.human.config import StudyConfig
from eval.human.planning.items import ItemPool, add_comparisons, add_controls, add_own_gold
from eval.human.planning.ordering import adjacent_repeats
from eval.human.planning.samples import Clips, check_axes, load_clips, load_gold_clips
from eval.human.planning.sessions import AxisItems, build_slots
from eval.human.schema import Axis, Item, MediaFile, Plan, Slot
from eval.human.study import VOTES, Study, load_study, save_study
from src.core.cli import run as run_command
from src.core.config import flatten, from_command_line, resumable_keys
from src.core.errors import UserError
from src.core.progress import progress
from src.core.rng import numpy_generator


def plan_study(config: StudyConfig) -> Study:
    """Write the study of `config` into `config.out` and return it.

    Raises:
        ValueError: the systems cannot be compared, a clip cannot be played, or the folder has votes already.
    """
    folder = Path(config.out)
    refuse_changes(folder, config)
    axes = select_axes(config.axes, config.axes_files, config.languages)
    clips, notes = load_clips(config)
    check_axes(clips, axes)
    check_raters(config, axes)
    pool = ItemPool(config.seed)
    own_gold = load_gold_clips(config, axes)
    work = plan_items(config, pool, clips, axes, own_gold)
    slots = build_slots(config, pool, work)
    items = needed_items(pool.items, slots)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        media, media_notes = prepare_media(config, clips | own_gold, axes, pool, items, partial / "media")
        study = Study(
            partial,
            config,
            describe(config, axes, items, slots, [*notes, *control_notes(work, slots, items), *media_notes]),
            {axis.id: axis for axis in axes},
            items,
            {slot.id: slot for slot in slots},
            media,
        )
        save_study(study)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_study(folder)


def plan_items(
    config: StudyConfig, pool: ItemPool, clips: Clips, axes: Sequence[Axis], own_gold: Clips | None = None
) -> list[AxisItems]:
    """Add the items of all axes to the pool and return them by axis; of an adaptive study the first round."""
    compared = add_comparisons(pool, config, clips, axes)
    if config.adaptive.enabled:
        compared = {name: first_round(config, items) for name, items in compared.items()}
    work = []
    for axis in axes:
        practice, gold, identical = add_controls(pool, config, clips, axis)
        gold = [*add_own_gold(pool, own_gold or {}, axis), *gold]
        num_raters = config.raters.get(axis.id, axis.num_raters)
        work.append(AxisItems(axis, num_raters, compared[axis.id], practice, gold, identical))
    return work


def first_round(config: StudyConfig, items: Sequence[Item]) -> list[Item]:
    """Return the items of an adaptive study's first round: as many of each pair, random prompts."""
    by_pair: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        by_pair.setdefault(item.systems, []).append(item)
    chosen = []
    for number, group in enumerate(by_pair.values()):
        order = numpy_generator(config.seed, "human/first_round", number).permutation(len(group))
        chosen += [group[index] for index in sorted(order[: config.adaptive.first_round])]
    return chosen


def needed_items(items: dict[str, Item], slots: Sequence[Slot]) -> dict[str, Item]:
    """Return the items that some session contains."""
    used = {task.item for slot in slots for task in slot.tasks}
    return {name: item for name, item in items.items() if name in used}


def prepare_media(
    config: StudyConfig,
    clips: Clips,
    axes: Sequence[Axis],
    pool: ItemPool,
    items: dict[str, Item],
    folder: Path,
    done: Study | None = None,
) -> tuple[dict[str, MediaFile], list[str]]:
    """Write the media of the items and return their records and notes."""
    from eval.human.media.preparation import MediaPreparation  # PyAV and SciPy: not for --help

    used = {name for item in items.values() for name in item.stimuli}
    used |= {name for item in items.values() for name in item.shown.values()}
    stimuli = {name: stimulus for name, stimulus in pool.stimuli.items() if name in used}
    audible = any(axis.audible for axis in axes)
    preparation = MediaPreparation(clips, config.media, folder, audible, config.seed)
    with progress("media", len(stimuli)) as advance:
        records = preparation.prepare(
            stimuli, list(items.values()), done=done.media if done else None, progress=advance
        )
    return records, preparation.notes


def describe(
    config: StudyConfig,
    axes: Sequence[Axis],
    items: dict[str, Item],
    slots: Sequence[Slot],
    notes: Sequence[str],
) -> Plan:
    """Return the plan's counts; the hash is filled in when the study is saved."""
    return Plan(
        name=config.name,
        title=dict.fromkeys(config.languages, config.title or config.name),
        hash="",
        systems=tuple(config.manifests),
        axes=tuple(axis.id for axis in axes),
        languages=config.languages,
        num_items=len(items),
        num_slots=len(slots),
        num_tasks=sum(len(slot.tasks) for slot in slots),
        notes=tuple(notes),
    )


def control_notes(work: Sequence[AxisItems], slots: Sequence[Slot], items: dict[str, Item]) -> list[str]:
    """Return notes on controls that an axis lacks, and on prompts that follow each other."""
    notes = []
    for part in work:
        if not part.gold:
            notes.append(
                f"{part.axis.id}: no gold items; the clips allow none of {', '.join(part.axis.gold)}"
            )
        if not any(item.kind == "qualification" for item in part.practice):
            notes.append(f"{part.axis.id}: no qualification items")
    adjacent = sum(adjacent_repeats([items[task.item].sample for task in slot.tasks]) for slot in slots)
    if adjacent:
        notes.append(f"{adjacent} times a prompt follows itself, where a session has too few other prompts")
    return notes


def check_raters(config: StudyConfig, axes: Sequence[Axis]) -> None:
    """Check the numbers of raters by axis."""
    known = {axis.id for axis in axes}
    for name, number in config.raters.items():
        if name not in known:
            raise ValueError(f"raters: {name!r} is not an axis of this study: {', '.join(sorted(known))}")
        if number < 1:
            raise ValueError(f"raters: {name} needs at least one rater, got {number}")


def refuse_changes(folder: Path, config: StudyConfig) -> None:
    """Refuse to plan over a folder that has votes, naming what would change, or that is no study.

    Raises:
        ValueError: one line.
    """
    if not folder.exists():
        return
    if not (folder / "plan.json").is_file():
        if folder.is_dir() and not any(folder.iterdir()):
            return
        raise ValueError(f"out: {folder} exists and is no study; name another folder")
    if not (num := count_votes(folder)):
        return
    before = load_study(folder).config
    free = resumable_keys(config)
    old, new = flatten(before), flatten(config)
    changed = [
        f"{key}: {_short(old.get(key))} -> {_short(new.get(key))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key not in free
    ]
    what = "; ".join(changed) if changed else "the same settings; planning again would replace the study"
    raise ValueError(
        f"out: {folder} has {num} votes, so its plan stays as it is ({what}); use `extend` or another folder"
    )


def count_votes(folder: Path) -> int:
    """Return the number of votes in the folder's votes.jsonl and study.db."""
    num = 0
    if (folder / VOTES).is_file():
        with (folder / VOTES).open("rb") as lines:
            num = sum(bool(line.strip()) for line in lines)
    database = folder / "study.db"
    if database.is_file():
        try:
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
                num = max(num, connection.execute("SELECT COUNT(*) FROM votes").fetchone()[0])
        except sqlite3.Error as error:
            raise ValueError(f"out: {database} cannot be read ({error}); it may have votes") from None
    return num


def summary(study: Study) -> str:
    """Return the lines printed after planning."""
    plan = study.plan
    votes = sum(study.items[task.item].kind == "pair" for slot in study.slots.values() for task in slot.tasks)
    lines = [
        f"{plan.name}: {len(plan.systems)} systems, {len(plan.axes)} axes, {plan.num_slots} sessions",
        f"{votes} votes on compared items, {plan.num_tasks - votes} on controls and practice",
        f"plan {plan.hash[:12]} in {study.folder}",
    ]
    shown = plan.notes[:10]
    more = [f"note: {len(plan.notes) - 10} more notes in plan.json"] if len(plan.notes) > 10 else []
    return "\n".join([*lines, *(f"note: {note}" for note in shown), *more])


def main(argv: list[str]) -> None:
    """Parse the command line and plan the study."""
    config = from_command_line(StudyConfig, argv, __doc__)
    if config is None:
        return
    try:
        print(summary(plan_study(replace(config))))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."


if __name__ == "__main__":
    sys.exit(run_command(main))
