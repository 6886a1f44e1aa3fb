from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from eval.human.planning.ordering import adjacent_repeats, insert_repeats, shuffle_apart
from eval.human.planning.sessions import count_votes
from eval.human.planning.sides import imbalance
from eval.human.study import Study
from tests.fixtures.planned_study import plan_without_media

AXES = ("visual_overall", "realness")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("plan") / "study"
    return plan_without_media(
        folder, num_prompts=40, systems=("a", "b", "c"), axes=AXES, tasks_per_slot=40, repeat_fraction=0.1
    )


def test_every_item_has_its_raters_in_different_sessions(study: Study) -> None:
    counts = count_votes(list(study.slots.values()), study.items)
    pairs = [item for item in study.items.values() if item.kind == "pair"]
    assert len(pairs) == 40 * 3
    for item in pairs:
        assert counts[item.id, "visual_overall"] == 3
        assert counts[item.id, "realness"] == 6
    for slot in study.slots.values():
        keys = [(task.item, task.axis) for task in slot.tasks]
        assert len(keys) == len(set(keys))
        assert len({axis for axis, _ in _runs(study, slot.id)}) == len(_runs(study, slot.id))


def test_passes_begin_with_practice(study: Study) -> None:
    for slot in study.slots.values():
        for _, kinds in _runs(study, slot.id):
            num_practice = sum(kind in ("example", "qualification") for kind in kinds)
            assert kinds[:2] == ["example", "example"]
            assert kinds[2:5] == ["qualification"] * 3
            assert num_practice == 5


def test_no_prompt_comes_twice_in_a_row(study: Study) -> None:
    for slot in study.slots.values():
        assert adjacent_repeats([study.items[task.item].sample for task in slot.tasks]) == 0


def test_sides_are_balanced_for_raters_pairs_axes_and_items(study: Study) -> None:
    rows = [
        (slot.id, task.axis, study.items[task.item], task.order == (1, 0))
        for slot in study.slots.values()
        for task in slot.tasks
        if study.items[task.item].kind == "pair"
    ]
    flips = [flip for *_, flip in rows]
    for groups in (
        [slot for slot, *_ in rows],
        [(slot, axis, item.systems) for slot, axis, item, _ in rows],
        [(axis, item.systems) for _, axis, item, _ in rows],
        [(axis, item.id) for _, axis, item, _ in rows],
        [axis for _, axis, *_ in rows],
    ):
        assert max(map(abs, imbalance(groups, flips).values())) <= 1


def test_controls_come_at_their_rates_and_repeats_are_swapped(study: Study) -> None:
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for slot in study.slots.values():
        orders = {(task.axis, task.item): task.order for task in slot.tasks}
        for task in slot.tasks:
            item = study.items[task.item]
            kinds[task.axis][item.kind] += 1
            if item.kind == "repeat":
                assert task.order == orders[task.axis, item.repeat_of][::-1]
    for counts in kinds.values():
        assert counts["gold"] == pytest.approx(0.1 * counts["pair"], rel=0.2)
        assert counts["identical"] == pytest.approx(0.05 * counts["pair"], rel=0.3)
        assert counts["repeat"] == pytest.approx(0.1 * counts["pair"], rel=0.2)
    gold = [item for item in study.items.values() if item.kind == "gold"]
    assert all(item.systems[0] == item.systems[1] and item.expected == (0, 1) for item in gold)
    identical = [item for item in study.items.values() if item.kind == "identical"]
    assert all(item.stimuli[0] != item.stimuli[1] for item in identical)


def test_the_plan_is_a_function_of_its_settings(study: Study, tmp_path: Path) -> None:
    config = {
        "num_prompts": 40,
        "systems": ("a", "b", "c"),
        "axes": AXES,
        "tasks_per_slot": 40,
        "repeat_fraction": 0.1,
    }
    assert plan_without_media(tmp_path / "x", **config).plan.hash == study.plan.hash  # type: ignore[arg-type]
    assert plan_without_media(tmp_path / "y", **config, seed=1).plan.hash != study.plan.hash  # type: ignore[arg-type]


def test_one_rater_may_do_everything(tmp_path: Path) -> None:
    study = plan_without_media(tmp_path / "s", num_prompts=8, axes=AXES, tasks_per_slot=0)
    assert len(study.slots) == 6
    pairs = [task for task in next(iter(study.slots.values())).tasks if study.items[task.item].kind == "pair"]
    assert len(pairs) == 16


def test_n_stimuli_and_single_ones(tmp_path: Path) -> None:
    axes = ("visual_ranking", "audio_mushra", "visual_rating")
    study = plan_without_media(tmp_path / "s", num_prompts=5, systems=("a", "b", "c"), axes=axes)
    sizes = defaultdict(set)
    for item in study.items.values():
        if item.kind == "pair":
            sizes[item.axes].add((len(item.stimuli), len(item.systems)))
    assert sizes["visual_ranking",] == sizes["audio_mushra",] == {(3, 3)}
    assert sizes["visual_rating",] == {(1, 1)}
    orders = {
        task.order for slot in study.slots.values() for task in slot.tasks if task.axis == "visual_ranking"
    }
    assert len(orders) > 3


def test_ordering_where_prompts_are_few() -> None:
    rng = np.random.default_rng(0)
    prompts = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    for _ in range(20):
        assert adjacent_repeats(shuffle_apart(prompts, str, rng, before="b")) == 0
    assert adjacent_repeats(shuffle_apart(["a", "a"], str, rng)) == 1
    items = [f"{i}" for i in range(12)]
    for _ in range(20):
        ordered = insert_repeats(
            items, [(items[2], "2r")], lambda name: name[:1] if name != "2r" else "2", rng
        )
        assert ordered.index("2r") - ordered.index("2") >= 4


def _runs(study: Study, slot: str) -> list[tuple[str, list[str]]]:
    runs: list[tuple[str, list[str]]] = []
    for task in study.slots[slot].tasks:
        if not runs or runs[-1][0] != task.axis:
            runs.append((task.axis, []))
        runs[-1][1].append(study.items[task.item].kind)
    return runs
