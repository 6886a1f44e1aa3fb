from dataclasses import replace

import numpy as np
import pytest

from eval.human.analysis.bias import halo, identical_results, left_bias, session_effects
from eval.human.analysis.dawid_skene import fit_raters
from eval.human.analysis.exclusion import apply_rules
from eval.human.analysis.preferences import Preference, count_matrix, to_marks, to_preferences, to_scores
from eval.human.axes import select_axes
from eval.human.config import ExclusionConfig
from eval.human.schema import Evidence, Item, RaterRecord, VoteRecord

AXES = {
    axis.id: axis
    for axis in select_axes(["visual_overall", "visual_ranking", "visual_rating", "audio_mushra"])
}


def item(name: str, kind: str = "pair", **more: object) -> Item:
    return Item(
        id=name,
        kind=kind,  # type: ignore[arg-type]
        sample=name,
        prompt="",
        axes=("visual_overall",),
        stimuli=("m", "n"),
        systems=("b", "a"),
        **more,  # type: ignore[arg-type]
    )


def vote(
    name: str, choice: str, rater: str = "r", order: tuple[int, int] = (0, 1), **evidence: object
) -> VoteRecord:
    return VoteRecord(
        rater=rater,
        slot="s",
        item=name,
        axis="visual_overall",
        order=order,
        answer={"choice": choice},
        answered_at="2026-01-01T00:00:00+00:00",
        evidence=Evidence(**{"time_s": 10.0, **evidence}),  # type: ignore[arg-type]
    )


def test_preferences_name_systems_and_sides() -> None:
    items = {"x": item("x")}
    (one,) = to_preferences([vote("x", "left", order=(1, 0))], items, AXES, ("a", "b"))
    assert (one.a, one.b, one.value, one.left, one.side) == ("a", "b", 1, "a", 1)
    (two,) = to_preferences([vote("x", "left")], items, AXES, ("a", "b"))
    assert (two.value, two.left, two.side) == (-1, "b", 1)
    counts, clusters = count_matrix([one, two, replace(one, value=0)])
    assert counts.tolist() == [[1, 1, 1]]
    assert clusters == ["x"]


def test_rankings_and_scores() -> None:
    three = replace(item("x"), stimuli=("m", "n", "o"), systems=("a", "b", "c"))
    ranked = replace(vote("x", ""), axis="visual_ranking", answer={"ranking": [2, 0, 1]}, order=(1, 2, 0))
    found = to_preferences([ranked], {"x": three}, AXES, ("a", "b", "c"))
    assert {(each.a, each.b): each.value for each in found} == {("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1}
    marked = replace(ranked, marks=({"position": 0, "seconds": 1.5},))
    assert [(m.system, m.seconds) for m in to_marks([marked], {"x": three})] == [("b", 1.5)]
    sliders = replace(ranked, axis="audio_mushra", answer={"ratings": [10, 20, 90]})
    scores = to_scores([sliders], {"x": three}, AXES)
    assert {each.system: each.value for each in scores} == {"b": 10, "c": 20, "a": 90}


def test_each_rule_leaves_out_what_it_names() -> None:
    items = {f"p{i}": item(f"p{i}") for i in range(20)}
    items |= {f"g{i}": item(f"g{i}", "gold", expected=(0, 1)) for i in range(4)}
    items |= {f"c{i}": item(f"c{i}", "repeat", repeat_of=f"p{i}") for i in range(8)}
    items["q"] = item("q", "qualification", expected=(0, 1))
    mixed = [vote(f"p{i}", ("left", "right", "equal")[i % 3], "good") for i in range(20)]
    bad_gold = [replace(each, rater="gold") for each in mixed] + [
        vote(f"g{i}", "right", "gold") for i in range(4)
    ]
    repeats = [replace(each, rater="repeats") for each in mixed]
    repeats += [vote(f"c{i}", ("right", "equal", "left")[i % 3], "repeats") for i in range(8)]
    sided = [vote(f"p{i}", "left", "sided") for i in range(20)]
    fast = [replace(each, rater="fast", evidence=Evidence(time_s=0.5)) for each in mixed]
    failed = [replace(each, rater="failed") for each in mixed] + [vote("q", "right", "failed")]
    unseen = [vote("p0", "left", "lazy", watched_s=(2.0, 1.0), duration_s=(2.0, 2.0))]
    hidden = [vote("p1", "left", "lazy", hidden_s=8.0)]
    everything = [*mixed, *bad_gold, *repeats, *sided, *fast, *failed, *unseen, *hidden]
    found = apply_rules(everything, items, AXES, [], ExclusionConfig())
    assert {name: reasons[0].split(":")[0] for name, reasons in found.excluded_raters.items()} == {
        "gold": "gold",
        "repeats": "repeats",
        "sided": "sides",
        "fast": "time",
    }
    assert {each.rater for each in found.votes} == {"good"}
    assert found.dropped == {
        "rater excluded": 80,
        "qualification not passed": 20,
        "not watched to the end": 1,
        "page hidden": 1,
    }
    assert found.num_votes == 122
    off = ExclusionConfig(
        max_gold_failures=1,
        min_repeat_agreement=0,
        max_side_p=0,
        min_median_time_s=0,
        min_watched_fraction=0,
        max_hidden_fraction=1,
        require_qualification=False,
    )
    assert not apply_rules(everything, items, AXES, [], off).dropped
    screened = RaterRecord(rater="good", slots=("s",), status="screened_out")
    assert apply_rules(mixed, items, AXES, [screened], off).votes == mixed
    assert apply_rules(mixed, items, AXES, [screened], ExclusionConfig()).votes == []


def test_dawid_and_skene_find_the_careless_rater() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(3, 300, p=[0.4, 0.2, 0.4])
    accuracy = {"good": 0.9, "fair": 0.75, "poor": 0.6, "random": 1 / 3}
    rows = [
        (str(i), name, int(true if rng.random() < (3 * p - 1) / 2 else rng.integers(3)))
        for i, true in enumerate(truth)
        for name, p in accuracy.items()
    ]
    model = fit_raters(*zip(*rows, strict=True))  # type: ignore[arg-type]
    found = dict(zip(model.raters, model.accuracy, strict=True))
    for name, p in accuracy.items():
        assert found[name] == pytest.approx(p, abs=0.07)
    order = np.argsort([int(name) for name in model.items])
    majority = np.mean(model.posterior[order].argmax(1) == truth)
    assert majority > 0.88
    assert model.confusion.sum(2) == pytest.approx(np.ones((4, 3)))


def preference(
    rater: str, index: int, side: int, value: int = 1, axis: str = "x", **more: object
) -> Preference:
    return Preference(
        rater, axis, f"i{index}", f"i{index}", f"i{index}", "a", "b", value, "a", side, index, **more
    )  # type: ignore[arg-type]


def test_left_bias_and_fatigue() -> None:
    sides = [
        preference(f"r{r}", i, 1 if i % 4 else -1, time_s=10 - i / 10) for r in range(6) for i in range(40)
    ]
    bias = left_bias(sides)
    assert bias is not None
    assert bias.interval.mean == pytest.approx(50)
    effects = {each.name: each.interval.mean for each in session_effects(sides, [])}
    assert effects["time for an answer"] == pytest.approx(-2.7, abs=0.01)
    counts = identical_results([vote("z", "left"), vote("z", "equal", "t")], {"z": item("z", "identical")})
    assert counts == {"left": 1, "right": 0, "equal": 1}


def test_halo_between_axes() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-1, 2, (3, 60))
    same = [preference("r", i, 1, int(values[0, i]), axis) for i in range(60) for axis in ("x", "y")]
    other = [preference("r", i, 1, int(values[1, i]), "z") for i in range(60)]
    found = {(each.first, each.second): each for each in halo([*same, *other])}
    assert found["x", "y"].within_raters == pytest.approx(1)
    assert found["x", "y"].equal == 1
    assert abs(found["x", "z"].within_raters) < 0.3
