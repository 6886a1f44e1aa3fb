"""Synthesize a video's audio: every impact rings at its sample, over the ambience of its background.

Impacts are modal synthesis: a hit excites a handful of damped sinusoids whose ratios and decays depend
on the material; pitch falls with the object's size, loudness and brightness grow with the impact's
speed. Two objects that hit each other both ring.

Like the pixels, the samples come from exactly rounded operations only (sinusoids by the angle-sum rule,
noise by interpolating random numbers), so every machine makes the same samples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.bounce.facts import AudioFacts, Impact, VideoFacts
from data.bounce.modal import Array, damped
from data.bounce.music import render_music
from data.bounce.music_vocabulary import PARTS
from data.bounce.vocabulary import SIZES
from src.core.rng import numpy_generator

SAMPLE_RATE = 48_000
BLOCK = 8192  # samples that are worked on at once, in the processor's cache
HIGH_QUALITY, LOW_QUALITY = 8.0, 3.0  # scores of full-band and of narrow-band audio


@dataclass(frozen=True)
class Modes:
    """Modes of a ringing material."""

    pitch_hz: float  # first mode of a medium-sized object
    ratios: tuple[float, ...]  # of the modes' frequencies to the first
    levels: tuple[float, ...]
    decay_s: float  # time to fall by 60 dB, first mode; higher ones fall faster
    damping: float  # how much faster: decay / ratio ** damping
    click: float  # level of the noise burst at contact


MODES: dict[str, Modes] = {
    "wooden": Modes(420.0, (1.0, 2.57, 4.95, 7.9), (1.0, 0.45, 0.22, 0.1), 0.16, 0.7, 0.25),
    "metal": Modes(880.0, (1.0, 2.76, 5.40, 8.93), (1.0, 0.7, 0.45, 0.25), 1.3, 0.5, 0.1),
    "glass": Modes(1750.0, (1.0, 2.32, 4.25, 6.63), (1.0, 0.55, 0.3, 0.15), 0.55, 0.6, 0.15),
    "rubber": Modes(125.0, (1.0, 1.9, 3.1), (1.0, 0.25, 0.06), 0.13, 1.0, 0.03),
    "stone": Modes(640.0, (1.0, 1.58, 2.24, 3.73, 5.1), (1.0, 0.8, 0.6, 0.4, 0.3), 0.07, 0.4, 0.6),
}


def pitch_hz(material: str, size: str) -> float:
    """Return the frequency of an object's first mode: small objects sound high."""
    return MODES[material].pitch_hz * SIZES["medium"] / SIZES[size]


def loudness(speed: float) -> float:
    """Return the peak level of an impact, 0 to 0.7, from its closing speed in room units per second."""
    return 0.7 * speed / (speed + 0.6)


def render_audio(facts: VideoFacts, sample_rate: int = SAMPLE_RATE) -> Array:
    """Return the audio of a video.

    Args:
        facts: of a video (`make_video(...).facts`), not of an image.
        sample_rate: Hz.

    Returns:
        float32 [1, S] in [-1, 1], S = round(duration * sample_rate). The first sample at or after an
        impact's time is the first that it changes.
    """
    return _limit(_mix(facts, sample_rate)).astype(np.float32)[None]


def render_stems(facts: VideoFacts, sample_rate: int = SAMPLE_RATE) -> dict[str, Array]:
    """Return each of PARTS alone, float32 [1, S], silent where the audio has no such part.

    They add up to the audio below its limiter, that is wherever it stays below 0.8.
    """
    content = facts.audio or AudioFacts(facts.audio_parts, HIGH_QUALITY)
    alone = {part: (part,) if part in facts.audio_parts else () for part in PARTS}
    return {
        part: _mix(replace(facts, audio=replace(content, parts=parts)), sample_rate).astype(np.float32)[None]
        for part, parts in alone.items()
    }


def _mix(facts: VideoFacts, rate: int) -> Array:
    """Return the sum of all parts, float64 [S], without the limiter."""
    if facts.is_image:
        raise ValueError(f"seed {facts.seed} is an image: only videos have audio")
    count, parts = round(facts.duration_s * rate), facts.audio_parts
    out = np.zeros(count)
    if "ambience" in parts:
        out = ambience(facts.background, count, rate, facts.seed, facts.version)
    if "impacts" in parts:
        _add_impacts(out, facts, rate)
    if "music" in parts and facts.music is not None:
        out += render_music(facts.music, count, rate)
    if facts.audio is not None and facts.audio.quality < HIGH_QUALITY:
        out = narrow_band(out, rate)
    return out


def narrow_band(samples_S: Array, rate: int) -> Array:
    """Return the samples as heard through a narrow channel: means over 1/6000 s, joined by straight lines."""
    step = max(rate // 6000, 1)
    padded = np.concatenate([samples_S, np.zeros(-len(samples_S) % step)]).reshape(-1, step)
    means = sum(padded[:, i] for i in range(step)) / step
    means = np.concatenate([means, means[-1:]])
    u = np.arange(step) / step
    return (means[:-1, None] * (1 - u) + means[1:, None] * u).reshape(-1)[: len(samples_S)]


def _add_impacts(out: Array, facts: VideoFacts, rate: int) -> None:
    for index, impact in enumerate(facts.impacts):
        start = math.ceil(impact.time_s * rate)
        if start < len(out):
            ring = _impact(facts, impact, index, len(out) - start, rate, start / rate - impact.time_s)
            out[start : start + len(ring)] += ring


def _impact(facts: VideoFacts, impact: Impact, index: int, count: int, rate: int, lag: float) -> Array:
    level = loudness(impact.speed)
    longest = max(MODES[facts.objects[i].material].decay_s for i in impact.objects)
    count = min(count, round(1.5 * longest * rate))
    ring = np.zeros(count)
    for i in impact.objects:
        ring += strike(facts.objects[i].material, facts.objects[i].size, level, count, rate, lag)
    noise = numpy_generator(facts.seed, facts.version + "/click", index).random(count) * 2 - 1
    click = sum(MODES[facts.objects[i].material].click for i in impact.objects) / len(impact.objects)
    burst = damped(0.0, 0.012, count, rate, lag)[0]
    ring += level * click * noise * burst
    fade = min(count, round(0.01 * rate))
    ring[count - fade :] *= np.arange(fade, 0, -1) / fade
    return ring


def strike(material: str, size: str, level: float, count: int, rate: int, lag: float = 0.0) -> Array:
    """Return the ringing of one struck object, float64 [count]; the first sample is `lag` seconds late."""
    modes, ring = MODES[material], np.zeros(count)
    total = sum(modes.levels)
    for ratio, amplitude in zip(modes.ratios, modes.levels, strict=True):
        hertz = pitch_hz(material, size) * ratio
        if hertz > 0.45 * rate:
            continue
        bright = level ** (0.25 * (ratio - 1) / ratio)  # soft hits are dull
        cos, sin = damped(hertz, modes.decay_s / ratio**modes.damping, count, rate, lag)
        ring += level * bright * amplitude / total * (0.8 * sin + 0.6 * cos)
    return ring


def ambience(background: str, count: int, rate: int, seed: int, version: str = "") -> Array:
    """Return the sound of a background without objects, float64 [count], quiet (about -40 dB)."""
    return AmbienceLayers(count, rate, numpy_generator(seed, version + "/ambience").random).ambience(
        background
    )


class AmbienceLayers:
    """Noise and tones from which the ambience of a background is mixed."""

    def __init__(self, count: int, rate: int, random: Callable[..., Any]) -> None:
        self.count, self.rate, self.random = count, rate, random

    def noise(self, hertz: float) -> Array:
        """Return noise mostly below `hertz`: smoothly interpolated random numbers in [-1, 1]."""
        step = min(hertz * 2 / self.rate, 1.0)
        knots = self.random(int(self.count * step) + 2) * 2 - 1
        out = np.empty(self.count)
        for start in range(0, self.count, BLOCK):
            at = np.arange(start, min(start + BLOCK, self.count)) * step
            low = np.floor(at)
            u, index = at - low, low.astype(np.int64)
            u = u * u * (3 - 2 * u)
            out[start : start + BLOCK] = knots[index] * (1 - u) + knots[index + 1] * u
        return out

    def hum(self, hertz: float) -> Array:
        return damped(hertz, 1e9, self.count, self.rate)[1]

    def swell(self, hertz: float, minimum: float = 0.2) -> Array:
        """Return a slowly changing gain between `minimum` and 1."""
        return minimum + (1 - minimum) * (0.5 + 0.5 * self.noise(hertz / 2))

    def crackle(self, per_second: float) -> Array:
        """Return sparse short clicks."""
        out = np.zeros(self.count)
        for _ in range(round(per_second * self.count / self.rate)):
            at, level = int(self.random() * self.count), 0.3 + 0.7 * self.random()
            tick = damped(
                900 + 2500 * self.random(), 0.008, min(self.count - at, self.rate // 50), self.rate
            )[1]
            out[at : at + len(tick)] += level * tick
        return out

    def chirps(self, per_second: float) -> Array:
        """Return bird song: short gliding whistles."""
        out = np.zeros(self.count)
        for _ in range(max(1, round(per_second * self.count / self.rate))):
            at, length = int(self.random() * self.count), int((0.05 + 0.08 * self.random()) * self.rate)
            n = np.arange(min(length, self.count - at))
            start, glide = 2600 + 1600 * self.random(), 1200 * (self.random() * 2 - 1)
            phase = (start * n + glide * n * n / (2 * length)) / self.rate
            wave = 1 - np.abs(phase - np.floor(phase) - 0.5) * 4
            rise = n / length
            out[at : at + len(n)] += (
                wave * (2 - np.abs(wave)) * 4 * rise * (1 - rise) * (0.4 + 0.6 * self.random())
            )
        return out

    def ambience(self, background: str) -> Array:
        if background == "plain":
            return 0.004 * self.noise(6000)
        if background == "tiles":  # a hall with its lamps
            return 0.008 * self.hum(100) + 0.004 * self.hum(300) + 0.006 * self.noise(400)
        if background == "wood":  # a fireplace
            return 0.01 * self.noise(250) * self.swell(2) + 0.02 * self.crackle(9)
        if background == "grass":  # wind and birds
            return 0.016 * self.noise(700) * self.swell(1) + 0.01 * self.chirps(2.5)
        if background == "sand":  # surf
            return 0.022 * (self.noise(5000) + 0.7 * self.noise(900)) * self.swell(0.6, 0.1)
        if background == "bricks":  # a street
            return 0.03 * self.noise(70) * self.swell(0.8) + 0.006 * self.noise(800) + 0.006 * self.hum(62)
        assert background == "carpet", background  # ventilation
        return 0.008 * self.noise(2200) + 0.006 * self.hum(120) + 0.003 * self.hum(240)


def _limit(out: Array) -> Array:
    """Leave levels below 0.8 alone and compress the rest to stay below 1."""
    if np.abs(out).max(initial=0.0) <= 0.8:
        return out
    over = np.maximum(np.abs(out) - 0.8, 0.0) / 0.2
    return np.where(over > 0, np.sign(out) * (0.8 + 0.2 * over / (1 + over)), out)
