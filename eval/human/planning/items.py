"""Items of a study: comparisons of systems, gold, identical pairs, and practice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from eval.human.config import StudyConfig
from eval.human.planning.samples import Clips
from eval.human.planning.stimuli import Degraded, Stimulus, degraded_pairs, opaque_id
from eval.human.schema import Axis, Item, Kind, Text
from src.core.rng import numpy_generator

MAX_IDENTICAL = 12  # different identical pairs; each needs a second copy of a file


@dataclass
class ItemPool:
    """All items of a study, and the files that they need by media id."""

    seed: int
    round: int = 0
    items: dict[str, Item] = field(default_factory=dict)
    stimuli: dict[str, Stimulus] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        axes: Sequence[str],
        stimuli: Sequence[Stimulus],
        *,
        shown: dict[str, str | Stimulus],
        prompt: str = "",
        tags: tuple[str, ...] = (),
        expected: tuple[int, ...] | None = None,
        explanation: Text | None = None,
    ) -> Item:
        """Add an item and its files, or return the one that is there already."""
        ids = tuple(self._need(each) for each in stimuli)
        visible = {k: v if isinstance(v, str) else self._need(v) for k, v in shown.items()}
        name = opaque_id(self.seed, "item", kind, *axes, *ids)
        item = Item(
            id=name,
            kind=kind,
            sample=stimuli[0].sample,
            prompt=prompt,
            axes=tuple(axes),
            stimuli=ids,
            systems=tuple(each.system for each in stimuli),
            shown=visible,
            tags=tags,
            expected=expected,
            explanation=explanation or {},
            round=self.round,
        )
        return self.items.setdefault(name, item)

    def repeat(self, item: Item) -> Item:
        """Add the item that repeats another one."""
        name = opaque_id(self.seed, "item", "repeat", item.id)
        repeat = Item(**{**vars(item), "id": name, "kind": "repeat", "repeat_of": item.id})
        return self.items.setdefault(name, repeat)

    def _need(self, stimulus: Stimulus) -> str:
        name = stimulus.media_id(self.seed)
        self.stimuli.setdefault(name, stimulus)
        return name


def shown_next_to(axis_compares: Sequence[str], clips: Clips, sample: str) -> dict[str, str | Stimulus]:
    """Return the texts and media shown next to the stimuli of a prompt."""
    system, clip = next(iter(clips[sample].items()))
    shown: dict[str, str | Stimulus] = {}
    for name in axis_compares:
        if name == "prompt":
            shown[name] = clip.sample.prompt
        else:
            medium = "video" if name == "source" else "image"
            shown[name] = Stimulus(sample, system, medium, role=name)
    return shown


def add_comparisons(
    pool: ItemPool, config: StudyConfig, clips: Clips, axes: Sequence[Axis]
) -> dict[str, list[Item]]:
    """Add an item for every prompt and pair of systems (or system, or all systems) and return them by axis.

    Axes with the same kind of answer and medium share items.
    """
    by_axis: dict[str, list[Item]] = {axis.id: [] for axis in axes}
    for group in _groups(axes):
        compares = list(dict.fromkeys(name for axis in group for name in axis.compares))
        for sample, systems in clips.items():
            first = next(iter(systems.values())).sample
            shown = shown_next_to(compares, clips, sample)
            for names in _compared(config, group[0]):
                stimuli = [Stimulus(sample, name, group[0].media) for name in names]
                names_of_axes = [axis.id for axis in group]
                item = pool.add(
                    "pair", names_of_axes, stimuli, shown=shown, prompt=first.prompt, tags=first.tags
                )
                for axis in group:
                    by_axis[axis.id].append(item)
    return by_axis


def add_controls(
    pool: ItemPool, config: StudyConfig, clips: Clips, axis: Axis
) -> tuple[list[Item], list[Item], list[Item]]:
    """Add practice, gold and identical items of an axis and return them (practice in its order)."""
    practice, num_degradations = [], max(1, len(axis.gold))
    for number, example in enumerate(axis.examples):
        pairs = degraded_pairs(clips, axis, example.degradation, number + 1, config.seed)
        for pair in pairs[-1:]:
            expected = () if example.equal else (0, 1)
            practice.append(_degraded_item(pool, "example", axis, clips, pair, expected, example.explanation))
    explanations = {each.degradation: each.explanation for each in axis.examples if not each.equal}
    gold: list[Item] = []
    start = len(axis.examples)
    for number, degradation in enumerate(axis.gold):
        num_practice = _part(axis.num_qualification, num_degradations, number)
        num_gold = _part(config.num_gold, num_degradations, number)
        pairs = degraded_pairs(clips, axis, degradation, start + num_practice + num_gold, config.seed)
        # few clips: practice keeps at least one pair, gold the rest
        pairs = pairs[min(start, max(0, len(pairs) - num_practice - num_gold)) :]
        split = min(num_practice, max(1, len(pairs) - num_gold))
        for index, pair in enumerate(pairs):
            kind: Kind = "qualification" if index < split else "gold"
            text = explanations.get(degradation, {})
            item = _degraded_item(pool, kind, axis, clips, pair, (0, 1), text)
            (practice if kind == "qualification" else gold).append(item)
    return practice, gold, list(_identical(pool, config, clips, axis))


def add_own_gold(pool: ItemPool, gold: Clips, axis: Axis) -> list[Item]:
    """Add the study's own gold items of an axis and return them."""
    items = []
    for name, sides in gold.items():
        if axis.id in sides["better"].sample.tags:
            stimuli = [Stimulus(name, side, axis.media) for side in ("better", "worse")]
            stimuli = stimuli[1:] if axis.answer == "rating" else stimuli
            shown = shown_next_to(axis.compares, gold, name)
            items.append(pool.add("gold", [axis.id], stimuli, shown=shown, expected=(0, 1)))
    return items


def _degraded_item(
    pool: ItemPool,
    kind: Kind,
    axis: Axis,
    clips: Clips,
    pair: Degraded,
    expected: tuple[int, ...],
    explanation: Text,
) -> Item:
    stimuli = [pair.degraded] if axis.answer == "rating" else [pair.clip, pair.degraded]
    shown = shown_next_to(axis.compares, clips, pair.sample)
    return pool.add(kind, [axis.id], stimuli, shown=shown, expected=expected, explanation=explanation)


def _identical(pool: ItemPool, config: StudyConfig, clips: Clips, axis: Axis) -> Iterator[Item]:
    if axis.answer != "choice" or not config.identical_fraction:
        return
    rng = numpy_generator(config.seed, f"human/identical/{axis.media}")
    systems = list(config.manifests)
    for number, index in enumerate(rng.permutation(len(clips))[:MAX_IDENTICAL]):
        sample = list(clips)[index]
        clip = Stimulus(sample, systems[number % len(systems)], axis.media)
        stimuli = [clip, Stimulus(**{**vars(clip), "copy": 1})]
        shown = shown_next_to(axis.compares, clips, sample)
        yield pool.add("identical", [axis.id], stimuli, shown=shown, expected=())


def _groups(axes: Sequence[Axis]) -> list[list[Axis]]:
    groups: dict[tuple[str, str], list[Axis]] = {}
    for axis in axes:
        groups.setdefault((axis.answer, axis.media), []).append(axis)
    return list(groups.values())


def _compared(config: StudyConfig, axis: Axis) -> list[tuple[str, ...]]:
    if axis.answer == "choice":
        return list(config.system_pairs())
    if axis.answer == "rating":
        return [(name,) for name in config.manifests]
    return [tuple(config.manifests)]


def _part(total: int, num_parts: int, index: int) -> int:
    """Return the size of one of `num_parts` nearly equal parts of `total`, earlier ones larger."""
    return (total + num_parts - 1 - index) // num_parts
