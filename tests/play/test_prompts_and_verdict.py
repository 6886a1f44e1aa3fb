"""Prompts of the page's builder, and the comparison of a video with what its prompt states."""

import numpy as np
import pytest

from data.bounce.prompt_parser import parse_prompt
from data.bounce.vocabulary import COLORS, SHAPES, STILL
from eval.bounce_checker.checker import ObjectReading, Reading
from play.prompts import FLOORS, MOTIONS, WORLD, build_prompt, random_prompt
from play.verdict import check_video, compare


def test_built_prompts_say_what_was_chosen() -> None:
    for index, motion in enumerate(MOTIONS):
        color, shape = list(COLORS)[index % len(COLORS)], SHAPES[index % len(SHAPES)]
        floor = list(FLOORS)[index % len(FLOORS)]
        parsed = parse_prompt(build_prompt(color, shape, motion, bounces=index % 2 == 1, floor=floor))
        [mention] = parsed.mentions
        assert (mention.color, mention.shape, mention.direction) == (color, shape, motion)
        assert mention.bounces == (index % 2 == 1 and motion != STILL)
        assert parsed.background == (None if floor == "any floor" else floor)
        assert parsed.camera == "static shot"
    assert set(FLOORS) - {"any floor"} == set(WORLD.backgrounds)
    assert build_prompt("orange", "ring", STILL) == "Static shot. An orange ring stays still."


def test_random_prompts_differ_by_seed() -> None:
    assert random_prompt(1) == random_prompt(1) != random_prompt(2)


def reading(*objects: tuple[str, str, str, bool], num_frames: int = 16) -> Reading:
    found = [
        ObjectReading(s, c, d, b, False, False, False, radius=0.2, speed=0.5, confidence=1.0)
        for c, s, d, b in objects
    ]
    return Reading(tuple(found), "static shot", num_frames)


def results(prompt: str, seen: Reading) -> dict[str, bool]:
    return {check.aspect: check.is_right for check in compare(parse_prompt(prompt), seen)}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Static shot. A red star moves right.", {"subject": True, "motion": True, "camera": True}),
        ("A red star.", {"subject": True, "motion": True}),  # no motion stated: any is right
        ("A star moves right.", {"subject": True, "motion": True}),  # no color stated
        ("A blue star moves right.", {"subject": False, "motion": True}),
        ("A red ring moves right.", {"subject": False, "motion": True}),
        ("A red star moves left.", {"subject": True, "motion": False}),
        ("A red star stays still.", {"subject": True, "motion": False}),
        ("A red star moves right and bounces off the wall.", {"subject": True, "motion": False}),
        ("Pan left. A red star moves right.", {"subject": True, "motion": True, "camera": False}),
        ("A red star and a blue ring.", {"subject": False, "motion": False}),
    ],
)
def test_only_what_is_stated_is_compared(prompt: str, expected: dict[str, bool]) -> None:
    assert results(prompt, reading(("red", "star", "right", False))) == expected


def test_two_objects_are_matched_to_their_mentions() -> None:
    seen = reading(("blue", "ring", "left", False), ("red", "star", "right", True))
    assert all(results("A red star moves right and bounces. A blue ring moves left.", seen).values())
    assert not results("A red star moves left. A blue ring moves right.", seen)["motion"]


def test_an_image_has_no_motion_and_a_prompt_without_objects_no_checks() -> None:
    seen = reading(("red", "star", "still", False), num_frames=1)
    assert results("A picture of a red star.", seen) == {"subject": True}
    verdict = check_video(np.full((4, 32, 32, 3), 120, np.uint8), 16.0, "A cat.")
    assert verdict["checks"] == []
    assert "names no object" in verdict["note"]
    assert verdict["read"] == ["no object"]
