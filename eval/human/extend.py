"""Extend a study that ran: `python -m eval.human extend STUDY [raters=1] [missing=true] [adaptive=true] ...`.

Adds raters to all items, sessions for votes that are missing after exclusion, prompts or systems from larger
or further manifests, or the next round of an adaptive study. Items, sessions and votes that exist stay as
they are; the old plan's hash is kept in `lineage`. Stop the server before, and start it again after that.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from eval.human.analysis.preferences import Preference
from eval.human.config import StudyConfig
from eval.human.plan import control_notes, describe, needed_items, prepare_media, summary
from eval.human.planning.items import ItemPool, add_comparisons, add_controls
from eval.human.planning.rounds import axis_items, next_round
from eval.human.planning.samples import Clips, check_axes, load_clips
from eval.human.planning.sessions import AxisItems, build_slots, count_votes
from eval.human.report import update_votes
from eval.human.schema import Axis, Item, Slot
from eval.human.study import RATERS, VOTES, Study, load_study, read_raters_file, read_votes_file, save_study
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.rng import numpy_generator


@dataclass(frozen=True, kw_only=True)
class ExtendConfig(Config):
    """Settings of `eval.human extend`."""

    study: str = opt("???", "folder of the study")
    raters: int = opt(0, "further raters for every compared item", ge=0)
    missing: bool = opt(False, "sessions for the votes that items lack after exclusion")
    manifests: dict[str, str] = opt({}, "system -> manifest: new systems, or more prompts of known ones")
    num_prompts: int = opt(0, "prompts in all, where the study has a subset; 0 takes all new ones", ge=0)
    adaptive: bool = opt(False, "the next round of an adaptive study")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.raters or self.missing or self.manifests or self.adaptive or self.num_prompts):
            raise ValueError("extend: name what to add: raters=, missing=true, manifests=, adaptive=true")


def extend_study(config: ExtendConfig) -> tuple[Study, list[str]]:
    """Add items and sessions to a study and return it with notes.

    Raises:
        ValueError: the study or its votes are broken, or there is nothing to add.
    """
    old = load_study(config.study)
    settings = replace(old.config, manifests={**old.config.manifests, **config.manifests})
    axes = list(old.axes.values())
    clips, notes = _load_clips(old, settings, config.num_prompts)
    check_axes(clips, axes)
    pool = ItemPool(settings.seed, round=old.plan.round + 1)
    pool.items.update(old.items)
    slots: list[Slot] = []
    work = _new_items(old, settings, pool, clips, axes) if _adds_clips(config) else []
    slots += _slots(settings, pool, work, len(slots))
    if config.raters:
        again = _all_items(old, settings, pool, clips, axes, config.raters)
        slots += _slots(settings, pool, again, len(slots))
        settings = replace(
            settings,
            raters={axis.id: settings.raters.get(axis.id, axis.num_raters) + config.raters for axis in axes},
        )
    if config.missing:
        for part in _missing_votes(old, settings, pool, clips, axes):
            slots += _slots(settings, pool, part, len(slots))
    if config.adaptive:
        part, more = next_round(old, settings, pool, clips, axes, _counted_preferences(old))
        notes += more
        slots += _slots(settings, pool, part, len(slots))
    if not slots:
        raise ValueError("extend: nothing to add" + "".join(f"; {note}" for note in notes))
    items = {**old.items, **needed_items(pool.items, slots)}
    _complete_stimuli(pool, settings, clips, axes)
    media, media_notes = prepare_media(settings, clips, axes, pool, items, old.folder / "media", old)
    all_slots = [*old.slots.values(), *slots]
    plan = describe(
        settings, axes, items, all_slots, [*notes, *control_notes(work, slots, items), *media_notes]
    )
    plan = replace(plan, round=old.plan.round + 1, lineage=(*old.plan.lineage, old.plan.hash))
    save_study(
        Study(old.folder, settings, plan, old.axes, items, {each.id: each for each in all_slots}, media)
    )
    return load_study(old.folder), notes


def _counted_preferences(study: Study) -> list[Preference]:
    """Return the preferences of the votes so far, after exclusion."""
    from eval.human.reporting.results import study_results

    update_votes(study.folder)
    raters = read_raters_file(study.folder / RATERS) if (study.folder / RATERS).is_file() else []
    return study_results(study, read_votes_file(study.folder / VOTES), raters).preferences


def _load_clips(old: Study, settings: StudyConfig, num_prompts: int) -> tuple[Clips, list[str]]:
    """Return the study's clips and new ones; a study of a subset keeps its prompts."""
    clips, notes = load_clips(replace(settings, num_prompts=0))
    known = {item.sample for item in old.items.values() if item.kind == "pair"}
    if lost := sorted(known - clips.keys()):
        raise ValueError(f"manifests: {lost[0]!r} is part of the study, but not in every manifest any more")
    if not old.config.num_prompts and not num_prompts:
        return clips, notes
    others = [name for name in clips if name not in known]
    order = numpy_generator(settings.seed, "human/more_prompts", old.plan.round).permutation(len(others))
    chosen = known | {others[index] for index in order[: max(0, num_prompts - len(known))]}
    return {name: systems for name, systems in clips.items() if name in chosen}, notes


def _adds_clips(config: ExtendConfig) -> bool:
    return bool(config.manifests or config.num_prompts)


def _new_items(
    old: Study, settings: StudyConfig, pool: ItemPool, clips: Clips, axes: Sequence[Axis]
) -> list[AxisItems]:
    compared = add_comparisons(pool, settings, clips, axes)
    work = []
    for axis in axes:
        new = [item for item in compared[axis.id] if item.id not in old.items]
        if new:
            work.append(
                axis_items(settings, pool, clips, axis, new, settings.raters.get(axis.id, axis.num_raters))
            )
    return work


def _all_items(
    old: Study, settings: StudyConfig, pool: ItemPool, clips: Clips, axes: Sequence[Axis], num_raters: int
) -> list[AxisItems]:
    planned = count_votes(list(old.slots.values()), old.items)
    return [
        axis_items(
            settings,
            pool,
            clips,
            axis,
            [old.items[name] for name, axis_id in planned if axis_id == axis.id],
            num_raters,
        )
        for axis in axes
    ]


def _missing_votes(
    old: Study, settings: StudyConfig, pool: ItemPool, clips: Clips, axes: Sequence[Axis]
) -> list[list[AxisItems]]:
    """Return work for the votes that are planned but not counted: items that lack k votes are in k parts."""
    from eval.human.analysis.exclusion import apply_rules

    update_votes(old.folder)
    raters = read_raters_file(old.folder / RATERS) if (old.folder / RATERS).is_file() else []
    votes = read_votes_file(old.folder / VOTES)
    kept = apply_rules(votes, old.items, old.axes, raters, settings.exclusion).votes
    counted: dict[tuple[str, str], int] = defaultdict(int)
    for vote in kept:
        counted[vote.item, vote.axis] += 1
    lacking = {
        key: num - counted[key]
        for key, num in count_votes(list(old.slots.values()), old.items).items()
        if num > counted[key]
    }
    return [
        [
            axis_items(settings, pool, clips, axis, items, 1)
            for axis in axes
            if (items := _lacking_votes(old.items, lacking, axis.id, level))
        ]
        for level in range(1, max(lacking.values(), default=0) + 1)
    ]


def _lacking_votes(
    items: Mapping[str, Item], lacking: Mapping[tuple[str, str], int], axis: str, level: int
) -> list[Item]:
    return [items[name] for (name, axis_id), num in lacking.items() if axis_id == axis and num >= level]


def _slots(settings: StudyConfig, pool: ItemPool, work: Sequence[AxisItems], first: int) -> list[Slot]:
    return build_slots(settings, pool, work, round=pool.round, first=first) if work else []


def _complete_stimuli(pool: ItemPool, settings: StudyConfig, clips: Clips, axes: Sequence[Axis]) -> None:
    """Add the files of all items to the pool, so that new files of old items' kinds are known by id."""
    scratch = ItemPool(settings.seed, round=pool.round)
    add_comparisons(scratch, settings, clips, axes)
    for axis in axes:
        add_controls(scratch, settings, clips, axis)
    for name, stimulus in scratch.stimuli.items():
        pool.stimuli.setdefault(name, stimulus)


def main(argv: list[str]) -> None:
    """Parse the command line and extend the study."""
    config = from_command_line(ExtendConfig, argv, __doc__)
    if config is None:
        return
    try:
        study, notes = extend_study(config)
        print("\n".join([summary(study), *notes]))
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main))
