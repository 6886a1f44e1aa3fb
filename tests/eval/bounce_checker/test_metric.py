"""The Bounce checker as a metric: values, and expected and recognized objects side by side."""

import numpy as np
import pytest

from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker.metric import BounceMetric
from eval.core.frame_source import StreamInfo
from eval.core.frame_tasks import frames_of, run_task
from eval.core.manifest import Sample
from eval.core.results import Item

WORLD = WorldConfig(max_objects=1, cameras=("static shot",), holdout="include", split="all")
OBJECT = "white triangle, moves up-left, bounces"


def measure(video, facts, folder):
    item = Item(Sample(id="a", prompt="", video="a.mp4", facts=facts), folder)
    task = BounceMetric().observe(item, StreamInfo(len(video), 16.0, 48, 48))
    return run_task(task, frames_of(video, 16.0))


def check(expected, found):
    return {"expected": expected, "found": found, "correct": expected == found}


def test_values_and_checks(tmp_path):
    rendered = make_video(6, WORLD, num_frames=24, height=48, width=48, fps=16)
    facts, video = rendered.facts.to_dict(), rendered.video_THWC
    found = measure(video, facts, tmp_path)
    assert found.values == {"subject": 1, "motion": 1, "camera": 1}
    assert found.detail["checks"] == [check(OBJECT, OBJECT), check("static shot", "static shot")]
    empty = measure(np.full_like(video, 120), facts, tmp_path)
    assert empty.values == {"subject": 0, "motion": 0, "camera": 1}
    assert empty.detail["checks"][0] == check(OBJECT, "nothing")
    none = measure(video, {**facts, "objects": []}, tmp_path)
    assert none.values["subject"] == 0
    assert none.detail["checks"][0] == check("nothing", OBJECT)
    still = measure(video[:1], {**facts, "num_frames": 1}, tmp_path)
    assert still.values == {"subject": 1}
    assert len(still.detail["checks"]) == 1


def test_what_the_facts_must_have(tmp_path):
    video = np.zeros((2, 48, 48, 3), np.uint8)
    with pytest.raises(ValueError, match="sample has no `facts`"):
        measure(video, None, tmp_path)
    with pytest.raises(ValueError, match="expected those of a Bounce video"):
        measure(video, {"objects": []}, tmp_path)
