"""Comparison of a generated video with what its prompt states, by the Bounce checker.

Words that a prompt does not state are not compared.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from data.bounce.prompt_parser import Mention, Prompt, parse_prompt
from data.bounce.vocabulary import STILL
from eval.bounce_checker.checker import (
    VERSION,
    ObjectReading,
    Reading,
    analyze_video,
    evaluate_reading,
)


@dataclass(frozen=True)
class Check:
    """One aspect: what the prompt states, what the checker reads, and whether both agree."""

    aspect: str
    stated: str
    read: str
    is_right: bool


def check_video(frames_THWC: np.ndarray, fps: float, prompt: str) -> dict[str, Any]:
    """Return the checker's verdict as plain JSON; `checks` is empty if the prompt names no object."""
    reading = analyze_video(frames_THWC, fps if len(frames_THWC) > 1 else 0.0)
    parsed = parse_prompt(prompt)
    read = [str(each) for each in reading.objects] or ["no object"]
    verdict: dict[str, Any] = {"checker": VERSION, "read": read, "camera": reading.camera, "checks": []}
    if not parsed.mentions:
        return verdict | {"note": "the prompt names no object of this world: there is nothing to check"}
    checks = compare(parsed, reading)
    return verdict | {
        "checks": [vars(each) for each in checks],
        "is_right": all(each.is_right for each in checks),
    }


def compare(prompt: Prompt, reading: Reading) -> list[Check]:
    """Return the checks of subject, motion and, if the prompt states it, camera."""
    facts = stated_facts(prompt, reading)
    verdict = evaluate_reading(reading, facts)
    subjects = ", ".join(f"{o['color']} {o['shape']}" for o in facts["objects"])
    seen = ", ".join(f"{o.color} {o.shape}" for o in reading.objects) or "nothing"
    checks = [Check("subject", subjects, seen, verdict.subject)]
    if reading.num_frames > 1:
        motions = ", ".join(describe_motion(o["direction"], o["bounces"]) for o in facts["objects"])
        moved = ", ".join(describe_motion(o.direction, o.bounces) for o in reading.objects) or "nothing"
        checks.append(Check("motion", motions, moved, verdict.motion))
        if prompt.camera is not None:
            checks.append(Check("camera", prompt.camera, reading.camera, verdict.camera))
    return checks


def stated_facts(prompt: Prompt, reading: Reading) -> dict[str, Any]:
    """Return the facts to compare with; what the prompt leaves open is taken from the reading."""
    left = list(reading.objects)
    objects = []
    for mention in prompt.mentions:
        match = max(left, key=lambda o: agreement(mention, o), default=None)
        if match is not None:
            left.remove(match)
        objects.append(
            {
                "shape": mention.shape,
                "color": mention.color or (match.color if match else "any color"),
                "direction": mention.direction or (match.direction if match else "any motion"),
                "bounces": mention.bounces if mention.direction or mention.moves else match_bounces(match),
            }
        )
    return {"objects": objects, "camera": prompt.camera or reading.camera, "num_frames": reading.num_frames}


def agreement(mention: Mention, found: ObjectReading) -> int:
    """Return how well an object fits a mention: color counts more than shape, both more than motion."""
    return (
        4 * (found.color == mention.color)
        + 2 * (found.shape == mention.shape)
        + (found.direction == mention.direction)
    )


def match_bounces(match: ObjectReading | None) -> bool:
    return match is not None and match.bounces


def describe_motion(direction: str, bounces: bool) -> str:
    """Return a motion in words."""
    course = "still" if direction == STILL else direction
    return f"{course}, bounces" if bounces else course
