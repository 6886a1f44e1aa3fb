from pathlib import Path

import pytest

from eval.human.__main__ import main
from eval.human.planning.sessions import count_votes
from eval.human.study import Study, load_study, read_votes_file, write_records
from src.core.errors import UserError
from tests.fixtures.planned_study import write_system

ARGUMENTS = ("name=test", "axes=[visual_overall]", "num_gold=1", "tasks_per_slot=12", "media.length=trim")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    a, b = write_system(tmp_path / "a"), write_system(tmp_path / "b", speed=2)
    main(["plan", f"out={tmp_path / 'study'}", f"manifests={{a: {a}, b: {b}}}", *ARGUMENTS])
    main(["simulate", str(tmp_path / "study")])
    return tmp_path / "study"


def check_extended(before: Study, after: Study) -> None:
    assert after.plan.lineage == (before.plan.hash,)
    assert after.plan.round == 1
    assert list(after.slots.values())[: len(before.slots)] == list(before.slots.values())
    assert all(after.items[name] == item for name, item in before.items.items())
    main(["report", str(after.folder)])  # the old votes are still of this study


def compared(study: Study) -> set[str]:
    """Return the samples that the study compares."""
    return {item.sample for item in study.items.values() if item.kind == "pair"}


def test_raters_prompts_and_systems_are_added(folder: Path, tmp_path: Path) -> None:
    before = load_study(folder)
    main(["extend", str(folder), "raters=1"])
    after = load_study(folder)
    check_extended(before, after)
    counts = count_votes(list(after.slots.values()), after.items)
    assert set(counts.values()) == {4}
    assert after.items.keys() >= before.items.keys()

    c = write_system(tmp_path / "c", num=3, size=(64, 64), speed=3)
    main(["extend", str(folder), f"manifests={{c: {c}}}"])
    third = load_study(folder)
    assert third.plan.lineage == (before.plan.hash, after.plan.hash)
    assert third.plan.systems == ("a", "b", "c")
    new = [item for item in third.items.values() if item.kind == "pair" and item.round == 2]
    assert {item.systems for item in new} == {("a", "c"), ("b", "c")}
    assert len(new) == 6
    for item in new:
        files = [third.media[name] for name in item.stimuli]
        assert len({(f.num_bytes, f.width, f.height, f.seconds, f.fps) for f in files}) == 1
        assert files[0].width == 48  # the published size stays


def test_prompts_of_a_subset_and_of_longer_manifests_are_added(tmp_path: Path) -> None:
    a, b = write_system(tmp_path / "a", num=5), write_system(tmp_path / "b", num=5, speed=2)
    complete = {path: path.read_text().splitlines(keepends=True) for path in (a, b)}
    for path, lines in complete.items():
        path.write_text("".join(lines[:4]))
    study = str(tmp_path / "study")
    main(["plan", f"out={study}", f"manifests={{a: {a}, b: {b}}}", "num_prompts=2", *ARGUMENTS])
    main(["simulate", study])
    before = load_study(study)
    main(["extend", study, "num_prompts=3"])
    after = load_study(study)
    check_extended(before, after)
    assert len(compared(before)) == 2
    assert len(compared(after)) == 3
    assert compared(after) > compared(before)
    for path, lines in complete.items():
        path.write_text("".join(lines))
    main(["extend", study, "num_prompts=5"])
    last = load_study(study)
    assert compared(last) == {f"p{i}" for i in range(5)}
    new = {item.id for item in last.items.values() if item.kind == "pair" and item.sample == "p4"}
    counts = count_votes(list(last.slots.values()), last.items)
    assert {counts[name, "visual_overall"] for name in new} == {3}
    with pytest.raises(UserError, match="nothing to add"):
        main(["extend", study, "num_prompts=5"])


def test_missing_votes_get_sessions_of_their_own(folder: Path) -> None:
    votes = read_votes_file(folder / "votes.jsonl")
    before = load_study(folder)
    write_records(folder / "votes.jsonl", [vote for vote in votes if vote.slot != votes[0].slot])
    lost = [vote for vote in votes if vote.slot == votes[0].slot and before.items[vote.item].kind == "pair"]
    main(["extend", str(folder), "missing=true"])
    after = load_study(folder)
    check_extended(before, after)
    added = [task for slot in list(after.slots.values())[len(before.slots) :] for task in slot.tasks]
    again = {(task.item, task.axis) for task in added if after.items[task.item].kind == "pair"}
    assert again >= {(vote.item, vote.axis) for vote in lost}


def test_an_adaptive_study_continues(tmp_path: Path) -> None:
    manifests = [write_system(tmp_path / name, num=6, speed=speed) for speed, name in enumerate("abc", 1)]
    named = "{" + ", ".join(f"{name}: {path}" for name, path in zip("abc", manifests, strict=True)) + "}"
    adaptive = (
        "adaptive.enabled=true",
        "adaptive.first_round=4",
        "adaptive.round_items=3",
        "gold_fraction=0",
    )
    main(["plan", f"out={tmp_path / 's'}", f"manifests={named}", *ARGUMENTS, *adaptive])
    first = load_study(tmp_path / "s")
    assert sum(item.kind == "pair" for item in first.items.values()) == 12
    main(["simulate", str(tmp_path / "s"), "population.careless_fraction=0"])
    main(["extend", str(tmp_path / "s"), "adaptive=true"])
    second = load_study(tmp_path / "s")
    check_extended(first, second)
    new = [item for item in second.items.values() if item.kind == "pair" and item.round == 1]
    counts = count_votes(list(second.slots.values()), second.items)
    assert len(new) == 3
    assert {counts[item.id, "visual_overall"] for item in new} == {1}


def test_an_adaptive_study_stops_when_its_interval_is_short(tmp_path: Path) -> None:
    a, b = write_system(tmp_path / "a", num=8), write_system(tmp_path / "b", num=8, speed=2)
    adaptive = ("adaptive.enabled=true", "adaptive.first_round=7", "adaptive.half_width=190")
    main(["plan", f"out={tmp_path / 's'}", f"manifests={{a: {a}, b: {b}}}", *ARGUMENTS, *adaptive])
    main(["simulate", str(tmp_path / "s"), "population.careless_fraction=0"])
    with pytest.raises(UserError, match=r"nothing to add; visual_overall: stopped: half width \d+\.\d of at"):
        main(["extend", str(tmp_path / "s"), "adaptive=true"])


def test_mistakes_are_one_line(folder: Path) -> None:
    with pytest.raises(UserError, match="name what to add"):
        main(["extend", str(folder)])
    with pytest.raises(UserError, match=r"planned without adaptive\.enabled"):
        main(["extend", str(folder), "adaptive=true"])
    gone = folder.parent / "a" / "manifest.jsonl"
    gone.write_text("".join(line + "\n" for line in gone.read_text().splitlines()[1:]))
    with pytest.raises(UserError, match=r"ids are not in every system|not in every manifest any more"):
        main(["extend", str(folder), "raters=1"])
