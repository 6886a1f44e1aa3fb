"""Sanity checks of the Bounce metrics: wrong captions, swapped colors, broken motion, other individuals."""

from collections.abc import Callable
from functools import cache

import numpy as np

from data.bounce.config import WorldConfig
from data.bounce.scene import sample_scene
from data.bounce.world import WORLD_VERSION, BounceVideo, VideoFacts, make_video, render_audio
from eval.bounce_checker.audio import AudioReading, analyze_audio, evaluate_audio
from eval.bounce_checker.checker import Reading, analyze_video, evaluate_reading
from eval.bounce_checker.identity import match_objects
from eval.core.audio import Audio
from eval.core.degradations import Degradation, frozen, reversed_time, rotate_colors, shuffled, unchanged
from eval.sanity.media_trials import FPS, SAMPLE_RATE, Trial, Values, add_noise

SET_SIZE = 8  # videos evaluated together: the strength is the fraction of them that is degraded
SIDE, NUM_FRAMES = 32, 16
# everything moves in a straight line: a reversed video is then always wrong
WORLD = WorldConfig(
    max_objects=1, cameras=("static shot",), holdout="include", split="all",
    still_prob=0.0, bounce_prob=0.0, spin_prob=0.0, appear_prob=0.0, vanish_prob=0.0,
)  # fmt: skip
AUDIO_WORLD = WorldConfig(max_objects=1, bounce_prob=1.0, still_prob=0.0, holdout="include", split="all")


@cache
def render_video(seed: int) -> BounceVideo:
    """Return a video of WORLD."""
    return make_video(seed, WORLD, num_frames=NUM_FRAMES, height=SIDE, width=SIDE, fps=FPS)


@cache
def read_degraded(seed: int, degrade: Degradation) -> Reading:
    """Return the checker's reading of a degraded video."""
    return analyze_video(degrade(render_video(seed).video_THWC, seed), FPS)


@cache
def read_first_frame(seed: int) -> Reading:
    """Return the checker's reading of the first frame, the reference of image-to-video."""
    return analyze_video(render_video(seed).video_THWC[:1], 0.0)


@cache
def draw_audio_facts(seed: int) -> VideoFacts:
    """Return the facts of a video of two seconds with impacts."""
    return sample_scene(seed, WORLD_VERSION, AUDIO_WORLD, 32, SIDE, SIDE, FPS).facts


def score_content(
    degrade: Degradation = unchanged, *, wrong_caption: bool = False
) -> Callable[[int, float], Values]:
    """Return a measure of subject and motion: a fraction is degraded, or scored by the next one's facts."""

    def measure(seed: int, fraction: float) -> Values:
        verdicts = []
        for position in range(SET_SIZE):
            index, degraded = seed * SET_SIZE + position, position < round(fraction * SET_SIZE)
            facts = render_video(index + (degraded and wrong_caption)).facts
            reading = read_degraded(index, degrade if degraded else unchanged)
            verdicts.append(evaluate_reading(reading, facts.to_dict()))
        return {key: float(np.mean([getattr(v, key) for v in verdicts])) for key in ("subject", "motion")}

    return measure


def score_identity(
    degrade: Degradation = unchanged, *, another: bool = False
) -> Callable[[int, float], Values]:
    """Return a measure of identity in a set with a fraction degraded, or replaced by the next individual."""

    def measure(seed: int, fraction: float) -> Values:
        found = []
        for position in range(SET_SIZE):
            index, degraded = seed * SET_SIZE + position, position < round(fraction * SET_SIZE)
            reading = read_degraded(index + (degraded and another), degrade if degraded else unchanged)
            found.append(match_objects(read_first_frame(index), reading))
        return {key: float(np.mean([each[key] for each in found])) for key in found[0]}

    return measure


AudioDegradation = Callable[[np.ndarray], np.ndarray]


def unchanged_audio(samples_S: np.ndarray) -> np.ndarray:
    """Return the samples as they are."""
    return samples_S


def score_audio(
    degrade: AudioDegradation = unchanged_audio, *, wrong_caption: bool = False
) -> Callable[[int, float], Values]:
    """Return a measure of the audio checker: a fraction is degraded, or scored by the next one's facts."""

    def measure(seed: int, fraction: float) -> Values:
        found = []
        for position in range(SET_SIZE):
            index, degraded = seed * SET_SIZE + position, position < round(fraction * SET_SIZE)
            facts = draw_audio_facts(index + (degraded and wrong_caption))
            reading = read_degraded_audio(index, degrade if degraded else unchanged_audio)
            found.append(evaluate_audio(reading, facts.to_dict()))
        keys = ("audio_hits", "audio_materials", "audio_background")
        return {key: float(np.mean([each[key] for each in found if key in each])) for key in keys}

    return measure


@cache
def read_degraded_audio(seed: int, degrade: AudioDegradation) -> AudioReading:
    """Return the checker's reading of degraded audio."""
    samples_S = degrade(render_audio(draw_audio_facts(seed))[0])
    return analyze_audio(Audio(samples_S[None].astype(np.float32), SAMPLE_RATE))


def attenuated(samples_S: np.ndarray) -> np.ndarray:
    """Return the samples at 0.4 of their volume."""
    return 0.4 * samples_S


def delayed(samples_S: np.ndarray) -> np.ndarray:
    """Return the samples 80 ms later, the end with them: an impact that is cut off would be missing."""
    return np.pad(samples_S, (round(0.08 * SAMPLE_RATE), 0))


def noisy(samples_S: np.ndarray) -> np.ndarray:
    """Return the samples with white noise at -34 dB of full scale; at -42 dB all backgrounds are heard."""
    return add_noise(samples_S, 10 ** (-34 / 20))


_FRACTIONS = (0, 0.5, 1)
BOUNCE_TRIALS = (
    Trial("wrong caption", _FRACTIONS, score_content(wrong_caption=True), {"subject": -1, "motion": -1}),
    Trial("wrong caption of audio", _FRACTIONS, score_audio(wrong_caption=True),
          {"audio_hits": -1, "audio_materials": -1, "audio_background": -1}),
    Trial("silent audio", _FRACTIONS, score_audio(np.zeros_like),
          {"audio_hits": -1, "audio_materials": -1, "audio_background": -1}),
    Trial("noisy audio", _FRACTIONS, score_audio(noisy), {"audio_background": -1}),
    # captions state which impacts sound, not when: onset_f1 and onset_shift measure that
    Trial("audio late by 80 ms", _FRACTIONS, score_audio(delayed),
          {"audio_hits": 0, "audio_materials": 0, "audio_background": 0}),
    Trial("audio at 0.4 of its volume", _FRACTIONS, score_audio(attenuated),
          {"audio_hits": 0, "audio_materials": 0, "audio_background": 0}),
    Trial("another individual", _FRACTIONS, score_identity(another=True),
          {"identity": -1, "identity_shape": -1, "identity_color": -1}),
    Trial("individual of another color", _FRACTIONS, score_identity(rotate_colors),
          {"identity": -1, "identity_shape": 0, "identity_color": -1}),
    Trial("individual in a reversed video", _FRACTIONS, score_identity(reversed_time),
          {"identity": 0, "identity_shape": 0, "identity_color": 0}),
    Trial("wrong color", _FRACTIONS, score_content(rotate_colors), {"subject": -1, "motion": 0}),
    Trial("reversed video", _FRACTIONS, score_content(reversed_time), {"subject": 0, "motion": -1}),
    Trial("frozen video", _FRACTIONS, score_content(frozen), {"subject": 0, "motion": -1}),
    Trial("shuffled video", _FRACTIONS, score_content(shuffled), {"subject": 0, "motion": -1}),
)  # fmt: skip
