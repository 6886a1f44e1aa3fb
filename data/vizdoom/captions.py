"""Captions of clips from events, the player's motion and the objects in view.

Video captions state what is seen, audio captions what is heard (`src.core.audio_caption`). The same facts
always give the same texts.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from data.vizdoom.observation import Tic
from src.core.audio_caption import AudioCaption

MIN_AREA = 0.003  # fraction of the screen below which an object is not named
SIDE_DEG = 20.0  # off the axis by more than this is left or right
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_OBJECTS = {
    "ArmorBonus": "a helmet",
    "BigTree": "a large tree",
    "BlueArmor": "blue armor",
    "Clip": "an ammunition clip",
    "GreenArmor": "green armor",
    "HealthBonus": "a small bottle",
    "ItemFlash": "a flash",
    "MarkedBarrel": "a barrel",
    "Medikit": "a medical kit",
    "RocketAmmo": "a rocket",
    "Shell": "shotgun shells",
    "Stimpack": "a small medical kit",
    "TeleportFog": "a glowing cloud",
    "TorchTree": "a bare tree",
}
_UNSEEN = re.compile(r"(Cue|Audible|Hidden|Dead|BulletPuff|PlasmaBall|MapSpot|Player|Unknown)")


@dataclass(frozen=True)
class Motion:
    """The player's motion in a clip: distance in map units, turns in degrees (positive to the right)."""

    distance: float
    turn_deg: float
    forward: float  # part of the distance along the view, -1 to 1


def describe_motion(tics: Sequence[Tic]) -> Motion:
    """Return the motion over the tics of a clip."""
    distance, turn, along = 0.0, 0.0, 0.0
    for before, now in pairwise(tics):
        dx, dy = now.x - before.x, now.y - before.y
        distance += math.hypot(dx, dy)
        turn += (before.angle_deg - now.angle_deg + 180) % 360 - 180
        direction = math.radians(now.angle_deg)
        along += dx * math.cos(direction) + dy * math.sin(direction)
    forward = along / distance if distance > 1 else 0.0
    return Motion(round(distance, 1), round(turn, 1), round(forward, 3))


def list_objects(tics: Sequence[Tic]) -> list[dict[str, Any]]:
    """Return the objects that were seen, the largest first: name, fraction of the screen, direction."""
    best: dict[int, tuple[float, Tic]] = {}
    for tic in tics:
        for number, area in tic.visible.items():
            if number in tic.things and area > best.get(number, (0.0, tic))[0]:
                best[number] = (area, tic)
    found = []
    for number, (area, tic) in sorted(best.items(), key=lambda each: (-each[1][0], each[0])):
        thing = tic.things[number]
        if not _UNSEEN.search(thing.name):
            azimuth = round(tic.azimuth_to(thing.x, thing.y), 1)
            found.append({"name": thing.name, "area": round(area, 4), "azimuth_deg": azimuth})
    return found[:8]


def side_of(azimuth_deg: float | None) -> str:
    """Return a direction in words."""
    if azimuth_deg is None or abs(azimuth_deg) <= SIDE_DEG:
        return "ahead"
    if abs(azimuth_deg) >= 180 - SIDE_DEG:
        return "behind"
    return "on the right" if azimuth_deg > 0 else "on the left"


def video_captions(facts: dict[str, Any]) -> list[str]:
    """Return a short and a long caption of what is seen."""
    motion, weapon = _motion_words(facts["motion"]), facts["weapon"]
    seen = [text for event in facts["events"] if event["visible"] and (text := _seen(event))]
    shots = sum(event["kind"] == "shot" for event in facts["events"])
    held = f", holding a {weapon}" if facts["weapon_shown"] else ""
    short = f"A video game from the player's eyes: the player {motion}{held}"
    if shots:
        short += f", and fires {_count(shots, 'time')}"
    long = [short, *_merge(seen)]
    names = [
        object_words(each["name"])
        for each in facts["objects"]
        if each["area"] >= MIN_AREA and each["name"] not in ("TeleportFog", "ItemFlash")
    ]
    if names:
        long.append(f"In view: {', '.join(dict.fromkeys(names))}")
    return [short + ".", ". ".join(_capitalize(text) for text in long) + "."]


def audio_caption(facts: dict[str, Any]) -> str:
    """Return what is heard, in the four sentences of the paper."""
    shots = Counter(event["name"] for event in facts["events"] if event["kind"] == "shot")
    parts = [f"{_count(count, f'{weapon} shot')}" for weapon, count in sorted(shots.items())]
    parts += _merge([text for event in facts["events"] if (text := _heard(event))])
    return AudioCaption(
        description=_capitalize("; ".join(parts) or "near silence"), music_likelihood=0.0
    ).text()


def object_words(name: str) -> str:
    """Return an object of the game in words: "TallRedColumn" is "a tall red column"."""
    if name in _OBJECTS:
        return _OBJECTS[name]
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|\d+", " ", name).split()
    return _article(" ".join(words).lower())


def _article(text: str) -> str:
    return f"{'an' if text[:1] in 'aeiou' else 'a'} {text}"


def _motion_words(motion: dict[str, float]) -> str:
    turn = motion["turn_deg"]
    turning = "" if abs(turn) < 40 else f"turns {'right' if turn > 0 else 'left'}"
    if motion["distance"] < 60:
        return turning or "stands still"
    walk = "walks forward" if motion["forward"] > 0.5 else "steps aside"
    return f"{walk} and {turning}" if turning else walk


def _seen(event: dict[str, Any]) -> str:
    side = side_of(event["azimuth_deg"])
    return {
        "explosion": f"a barrel explodes {side}",
        "flash": f"{_article(event['name'])} lights up {side}",
        "door opens": f"a door opens {side}",
        "door closes": f"a door closes {side}",
        "lift": f"the floor moves {side}",
        "pickup": f"the player picks up {object_words(event['name'])}",
    }.get(event["kind"], "")


def _heard(event: dict[str, Any]) -> str:
    side = side_of(event["azimuth_deg"])
    return {
        "explosion": f"an explosion {side}",
        "flash": f"the whoosh of {_article(event['name'])} {side}",
        "door opens": f"a door opening {side}",
        "door closes": f"a door closing {side}",
        "lift": f"machinery {side}",
        "pickup": "an item picked up",
    }.get(event["kind"], "")


def _merge(texts: list[str]) -> list[str]:
    """Return texts without repetitions, with their number where they repeat."""
    return [
        text if count == 1 else f"{text} {_count(count, 'time')}" for text, count in Counter(texts).items()
    ]


def _count(count: int, noun: str) -> str:
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{number} {noun}{'' if count == 1 else 's'}"


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
