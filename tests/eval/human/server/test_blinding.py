"""An observer of the network traffic learns nothing about which system is on which side."""

import os

from scipy.stats import binomtest

from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import StudyApp


def test_traffic_of_two_hundred_items_does_not_tell_systems_apart(tmp_path) -> None:
    """The best of many simple guessers, chosen on one half of the items, is at chance on the other half."""
    study = write_study(tmp_path / "study", num_prompts=199, num_slots=1)
    for media in study.media.values():  # systems ran one after the other: files of one are older
        path = study.media_path(media.id)
        age = 1_000_000 if media.system == "x" else 2_000_000
        os.utime(path, (age, age))
    app = StudyApp(study)
    rater = app.rater()
    features, left_is_x = [], []
    while (state := rater.begin())["page"] == "task":
        task = study.slots["slot0"].tasks[state["task"]["position"]]
        sides = [_seen(rater, each) for each in state["task"]["stimuli"]]
        features.append(
            [a > b for a, b in zip(*sides, strict=True)] + [a < b for a, b in zip(*sides, strict=True)]
        )
        left_is_x.append(study.items[task.item].systems[task.order[0]] == "x")
        rater.vote(state["task"])
    app.close()
    assert len(features) == 200
    half = len(features) // 2
    correct = [
        sum(row[guesser] == truth for row, truth in zip(features[:half], left_is_x[:half], strict=True))
        for guesser in range(len(features[0]))
    ]
    best = correct.index(max(correct))
    hits = sum(row[best] == truth for row, truth in zip(features[half:], left_is_x[half:], strict=True))
    interval = binomtest(hits, half).proportion_ci()
    assert interval.low <= 0.5 <= interval.high, f"{hits} of {half} by feature {best}"


def _seen(rater, stimulus: dict) -> list[str]:
    """Return what an observer sees of one side, apart from what the clip shows."""
    complete = rater.client.get(stimulus["url"])
    part = rater.client.get(stimulus["url"], headers={"range": "bytes=0-99"})
    headers = {**complete.headers, **{f"part-{name}": value for name, value in part.headers.items()}}
    names = ("content-length", "etag", "last-modified", "content-type", "cache-control", "part-content-range")
    side_free = {name: headers.get(name, "") for name in names}
    described = {k: str(v) for k, v in sorted(stimulus.items()) if k != "url"}
    return [*side_free.values(), str(len(headers)), *described.values()]
