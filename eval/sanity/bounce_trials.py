"""The self-test of what is asked for and what comes: Bounce films with wrong captions, colours, order."""

from collections.abc import Callable
from functools import cache

import numpy as np

from data.bounce.config import WorldConfig
from data.bounce.scene import draw_scene
from data.bounce.world import WORLD_VERSION, Film, FilmFacts, film, sound
from eval.bounce_checker.audio import Heard, judge_sound_of, listen
from eval.bounce_checker.checker import Reading, judge, read
from eval.bounce_checker.identity import same_individuals
from eval.core.audio import Sound
from eval.sanity.degradations import Degradation, frozen, other_colours, reversed_time, shuffled, unchanged
from eval.sanity.media_trials import FPS, RATE, Trial, Values, hiss, late

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


def recognised(change: Degradation = unchanged, *, another: bool = False) -> Callable[[int, float], Values]:
    """Individuals of pictures in a set of films, of which a share is changed or shows the next one."""

    def measure(seed: int, share: float) -> Values:
        found = []
        for place in range(SET):
            index, spoilt = seed * SET + place, place < round(share * SET)
            shown = reading(index + (spoilt and another), change if spoilt else unchanged)
            found.append(same_individuals(pictured(index), shown))
        return {key: float(np.mean([each[key] for each in found])) for key in found[0]}

    return measure


@cache
def pictured(seed: int) -> Reading:
    """What the first frame shows, as a picture to generate from would."""
    return read(bounce(seed).video_THWC[:1], 0.0)


SoundChange = Callable[[np.ndarray], np.ndarray]


def same(samples_S: np.ndarray) -> np.ndarray:
    return samples_S


def heard(change: SoundChange = same, *, wrong_caption: bool = False) -> Callable[[int, float], Values]:
    """What is heard in a set of sounds, of which a share is changed or judged by the next film's facts."""

    def measure(seed: int, share: float) -> Values:
        found = []
        for place in range(SET):
            index, spoilt = seed * SET + place, place < round(share * SET)
            asked = scene(index + (spoilt and wrong_caption))
            found.append(judge_sound_of(hearing(index, change if spoilt else same), asked.to_dict()))
        keys = ("sound_count", "sound_material", "sound_place")
        return {key: float(np.mean([each[key] for each in found if key in each])) for key in keys}

    return measure


@cache
def hearing(seed: int, change: SoundChange) -> Heard:
    return listen(Sound(change(sound(scene(seed))[0])[None].astype(np.float32), RATE))


def hushed(samples_S: np.ndarray) -> np.ndarray:
    return 0.4 * samples_S


def delayed(samples_S: np.ndarray) -> np.ndarray:
    return late(samples_S, 80)


def noisy(samples_S: np.ndarray) -> np.ndarray:
    """White noise at -50 dB of full scale."""
    return hiss(samples_S, 10 ** (-50 / 20))


_SHARES = (0, 0.5, 1)
BOUNCE_TRIALS = (
    Trial("wrong caption", _SHARES, judged(wrong_caption=True), {"subject": -1, "motion": -1}),
    Trial("wrong caption of a sound", _SHARES, heard(wrong_caption=True),
          {"sound_count": -1, "sound_material": -1, "sound_place": -1}),
    Trial("silent sound", _SHARES, heard(np.zeros_like),
          {"sound_count": -1, "sound_material": -1, "sound_place": -1}),
    Trial("hiss over a sound", _SHARES, heard(noisy), {"sound_place": -1}),
    # the caption says what sounds, not when: onset_f1 and onset_shift are for that
    Trial("sound late by 80 ms", _SHARES, heard(delayed),
          {"sound_count": 0, "sound_material": 0, "sound_place": 0}),
    Trial("sound at 0.4 of its volume", _SHARES, heard(hushed),
          {"sound_count": 0, "sound_material": 0, "sound_place": 0}),
    Trial("another individual", _SHARES, recognised(another=True),
          {"identity": -1, "identity_shape": -1, "identity_colour": -1}),
    Trial("individual of another colour", _SHARES, recognised(other_colours),
          {"identity": -1, "identity_shape": 0, "identity_colour": -1}),
    Trial("individual in a reversed film", _SHARES, recognised(reversed_time),
          {"identity": 0, "identity_shape": 0, "identity_colour": 0}),
    Trial("wrong colour", _SHARES, judged(other_colours), {"subject": -1, "motion": 0}),
    Trial("reversed film", _SHARES, judged(reversed_time), {"subject": 0, "motion": -1}),
    Trial("frozen film", _SHARES, judged(frozen), {"subject": 0, "motion": -1}),
    Trial("shuffled film", _SHARES, judged(shuffled), {"subject": 0, "motion": -1}),
)  # fmt: skip
