"""The self-test of what is asked for and what comes: Bounce films with wrong captions, colours, order."""

from collections.abc import Callable
from functools import cache

import numpy as np

from data.worlds.bounce import WORLD_VERSION, Film, FilmFacts, film, sound
from data.worlds.config import WorldConfig
from data.worlds.scene import draw_scene
from eval.alignment.bounce import Reading, judge, read
from eval.alignment.bounce_sound import judge_sound_of, listen
from eval.degradations import Degradation, frozen, other_colours, reversed_time, shuffled, unchanged
from eval.selftest_media import FPS, RATE, Trial, Values
from eval.sound import Sound

SET = 8  # films judged together: the strength is the share of them that is spoilt
SIDE, FRAMES = 32, 16
# everything moves and nothing turns back: else a film played backwards may be right
WORLD = WorldConfig(
    max_objects=1, cameras=("static shot",), holdout="include", split="all",
    still_prob=0.0, bounce_prob=0.0, spin_prob=0.0, appear_prob=0.0, vanish_prob=0.0,
)  # fmt: skip
SOUNDING = WorldConfig(max_objects=1, bounce_prob=1.0, still_prob=0.0, holdout="include", split="all")


@cache
def bounce(seed: int) -> Film:
    return film(seed, WORLD, num_frames=FRAMES, height=SIDE, width=SIDE, fps=FPS)


def judged(change: Degradation = unchanged, *, wrong_caption: bool = False) -> Callable[[int, float], Values]:
    """Subject and motion of a set, of which a share is changed or judged by the next film's facts."""

    def measure(seed: int, share: float) -> Values:
        verdicts = []
        for place in range(SET):
            index, spoilt = seed * SET + place, place < round(share * SET)
            clip = bounce(index)
            facts = bounce(index + 1).facts if spoilt and wrong_caption else clip.facts
            verdicts.append(judge(reading(index, change if spoilt else unchanged), facts.to_dict()))
        return {key: float(np.mean([getattr(v, key) for v in verdicts])) for key in ("subject", "motion")}

    return measure


@cache
def reading(seed: int, change: Degradation) -> Reading:
    return read(change(bounce(seed).video_THWC, seed), FPS)


@cache
def scene(seed: int) -> FilmFacts:
    """Facts of a film of two seconds, for its sound."""
    return draw_scene(seed, WORLD_VERSION, SOUNDING, 32, SIDE, SIDE, FPS).facts


def heard(seed: int, share: float) -> Values:
    """What is heard in a set of sounds, of which a share is judged by the next film's facts."""
    found = []
    for place in range(SET):
        index = seed * SET + place
        asked = scene(index + 1 if place < round(share * SET) else index)
        found.append(judge_sound_of(listen(Sound(sound(scene(index)), RATE)), asked.to_dict()))
    return {
        key: float(np.mean([each[key] for each in found if key in each]))
        for key in ("sound_material", "sound_place")
    }


_SHARES = (0, 0.5, 1)
BOUNCE_TRIALS = (
    Trial("wrong caption", _SHARES, judged(wrong_caption=True), {"subject": -1, "motion": -1}),
    Trial("wrong caption of a sound", _SHARES, heard, {"sound_material": -1, "sound_place": -1}),
    Trial("wrong colour", _SHARES, judged(other_colours), {"subject": -1, "motion": 0}),
    Trial("reversed film", _SHARES, judged(reversed_time), {"subject": 0, "motion": -1}),
    Trial("frozen film", _SHARES, judged(frozen), {"subject": 0, "motion": -1}),
    Trial("shuffled film", _SHARES, judged(shuffled), {"subject": 0, "motion": -1}),
)
