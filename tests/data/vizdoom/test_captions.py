"""Captions of clips from their facts."""

import pytest

from data.vizdoom.captions import (
    audio_caption,
    describe_motion,
    list_objects,
    object_words,
    side_of,
    video_captions,
)
from data.vizdoom.observation import Thing, Tic
from src.core.audio_caption import AudioCaption


def event(kind: str, name: str, azimuth_deg: float | None = None, visible: bool = True) -> dict:
    return {"time_s": 1.0, "kind": kind, "name": name, "azimuth_deg": azimuth_deg, "visible": visible}


FACTS = {
    "weapon": "shotgun",
    "weapon_shown": True,
    "motion": {"distance": 300.0, "turn_deg": 90.0, "forward": 0.9},
    "objects": [{"name": "MarkedBarrel", "area": 0.1}, {"name": "TorchTree", "area": 0.0001}],
    "events": [
        event("shot", "shotgun"),
        event("shot", "shotgun"),
        event("explosion", "barrel", 3.0),
        event("flash", "item flash", 100.0, visible=False),
        event("door closes", "door", -90.0, visible=False),
    ],
}


def test_video_captions_name_what_is_seen() -> None:
    short, long = video_captions(FACTS)
    assert short == (
        "A video game from the player's eyes: the player walks forward and turns right, holding a shotgun, "
        "and fires two times."
    )
    assert "A barrel explodes ahead" in long
    assert "In view: a barrel." in long
    assert "flash" not in long  # behind the player's back
    assert "door" not in long


def test_audio_captions_name_what_is_heard_and_from_where() -> None:
    caption = AudioCaption.parse(audio_caption(FACTS))
    assert caption is not None
    assert caption.description == (
        "Two shotgun shots; an explosion ahead; the whoosh of an item flash on the right; "
        "a door closing on the left"
    )
    silent = AudioCaption.parse(audio_caption(FACTS | {"events": []}))
    assert silent is not None
    assert silent.description == "Near silence"


def test_words() -> None:
    assert [side_of(a) for a in (None, 10.0, 30.0, -90.0, 175.0)] == [
        *("ahead", "ahead", "on the right", "on the left", "behind")
    ]
    assert object_words("TallRedColumn") == "a tall red column"
    assert object_words("EvilEye2") == "an evil eye"


def test_motion_and_objects() -> None:
    barrel = Thing("MarkedBarrel", "Hazard", 100.0, 0.0)
    tics = [
        Tic(float(10 * i), 0.0, 350.0 + 10 * i if i < 2 else 10.0 * (i - 1), 2, 50, {5: barrel}, {5: 0.1 * i})
        for i in range(4)
    ]
    motion = describe_motion(tics)
    assert motion.distance == pytest.approx(30.0)
    assert motion.turn_deg == pytest.approx(-30.0)  # to the left, across north
    assert motion.forward > 0.9
    (seen,) = list_objects(tics)
    assert (seen["name"], seen["area"]) == ("MarkedBarrel", 0.3)
