"""The Bounce sound checker: hears which material hit when, and where it happened, and judges it by the facts.

    heard = listen(sound)                    # blind: hears samples only
    values = judge_sound_of(heard, facts)    # facts: a film's ground truth as plain JSON

A hit is an onset whose ringing is compared with how each material and size rings in the world, alone and
by twos. The place is told by what goes on below and between the hits. No network is used.

Legend: W windows after a hit, B bands of frequency, K candidates.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np
from scipy.signal import stft

from data.bounce.audio import MODES, ambience, damped, strike
from data.bounce.vocabulary import BACKGROUNDS, SIZES
from eval.alignment.onsets import onsets, thinned
from eval.core.audio import Sound
from eval.core.draws import generator
from eval.core.results import SHARE, Item, Measurement, Score

VERSION = "bounce-sound-1"
RATE = 48_000
EDGES_S = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3)  # of the windows after a hit
BANDS_HZ = 60 * 2 ** (np.arange(49) / 6)  # sixths of octaves, 60 Hz to 15 kHz
COMPRESSION = 0.5  # of magnitudes, so that weak modes have a say
LEVEL = 0.3  # at which candidates are struck
PAIR_GAIN = 0.035  # likeness that a second object must win to be believed
LEAST_LIKENESS = 0.56  # below, an onset is the fire's crackle or a wave of the surf, no hit
NUM_AMBIENCES = 6
LOUDNESS_WEIGHT = 0.15  # a place is the same place at another volume


@dataclass(frozen=True)
class Hit:
    """One heard hit; `materials` in alphabetical order, two where two objects met."""

    time_s: float
    materials: tuple[str, ...]
    likeness: float  # cosine of the best candidate


@dataclass(frozen=True)
class Heard:
    """A sound as the checker hears it; `place` is empty for silence."""

    hits: tuple[Hit, ...]
    place: str


def listen(sound: Sound) -> Heard:
    """Hear a sound of any rate and number of channels."""
    mono = sound.at_rate(RATE).mono.astype(np.float64)
    times = onsets(Sound(mono[None].astype(np.float32), RATE))
    ends = [*times[1:], len(mono) / RATE][: len(times)]
    hits = (_hit(mono, float(t), float(end)) for t, end in zip(times, ends, strict=True))
    return Heard(tuple(hit for hit in hits if hit.likeness >= LEAST_LIKENESS), _place(mono))


def _hit(mono: np.ndarray, time: float, end: float) -> Hit:
    start = max(round(time * RATE), 0)
    before = mono[max(start - round(0.05 * RATE), 0) : max(start - round(0.01 * RATE), 0)]
    heard_WB = ringing(mono[start : start + round(EDGES_S[-1] * RATE)], before)
    whole = sum(time + edge <= end + 0.005 for edge in EDGES_S[1:])
    names, bank_KWB = _bank()
    heard, bank = (each[..., : max(whole, 1), :] for each in (heard_WB, bank_KWB))
    bank = bank.reshape(len(names), -1)
    scale = np.linalg.norm(bank, axis=1) * max(float(np.linalg.norm(heard)), 1e-12)
    likeness = bank @ heard.ravel() / np.maximum(scale, 1e-12)
    likeness -= [PAIR_GAIN * (len(name) - 1) for name in names]
    best = int(likeness.argmax())
    return Hit(round(time, 4), tuple(sorted(names[best])), float(likeness[best]))


def ringing(after_S: np.ndarray, before_S: np.ndarray) -> np.ndarray:
    """[W, B]: compressed levels of bands in each window, what sounded before taken away."""
    floor = _levels(before_S) if len(before_S) >= 64 else np.zeros(len(BANDS_HZ) - 1)
    rows = []
    for low, high in pairwise(EDGES_S):
        part = after_S[round(low * RATE) : round(high * RATE)]
        level = _levels(part) if len(part) >= 64 else np.zeros(len(BANDS_HZ) - 1)
        rows.append(np.maximum(level**2 - 2 * floor**2, 0) ** (COMPRESSION / 2))
    return np.stack(rows)


def _levels(part_S: np.ndarray) -> np.ndarray:
    """Root of the mean power in each band, [B]."""
    size = max(4096, len(part_S))
    power = np.abs(np.fft.rfft(part_S * np.hanning(len(part_S)), size)) ** 2 / len(part_S)
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / RATE), BANDS_HZ)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    return np.sqrt((sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(np.diff(edges), 1))


@cache
def _bank() -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Materials of each candidate, and what its ringing looks like, [K, W, B]."""
    count = round(EDGES_S[-1] * RATE)
    burst = damped(0.0, 0.012, count, RATE)[0] * generator(0, "bounce-sound/click").uniform(-1, 1, count)
    alone = {
        (material, size): strike(material, size, LEVEL, count, RATE) + LEVEL * MODES[material].click * burst
        for material in MODES
        for size in SIZES
    }
    names, bank = [], []
    for (material, _), wave in alone.items():
        names.append((material,))
        bank.append(ringing(wave, wave[:0]))
    for a, b in combinations_with_replacement(alone, 2):
        names.append((a[0], b[0]))
        bank.append(ringing(alone[a] + alone[b], burst[:0]))
    return names, np.stack(bank)


def _place(mono_S: np.ndarray) -> str:
    if not mono_S.any():
        return ""
    names, bank_KB = _places()
    gaps_KB = bank_KB - backdrop(mono_S)
    gaps_KB -= (1 - LOUDNESS_WEIGHT) * gaps_KB.mean(1, keepdims=True)
    return names[int(np.abs(gaps_KB).mean(1).argmin())]


def backdrop(mono_S: np.ndarray) -> np.ndarray:
    """[B] log10 of the levels that each band does not fall below for three quarters of the time."""
    size = min(4096, len(mono_S))
    hertz, _, spectrum = stft(mono_S, RATE, nperseg=size, boundary=None, padded=False)
    power_FT = np.abs(spectrum) ** 2
    bands = np.clip(np.searchsorted(hertz, BANDS_HZ), 0, len(hertz) - 1)
    rows = [power_FT[a : max(b, a + 1)].mean(0) for a, b in pairwise(bands)]
    return 0.5 * np.log10(np.maximum(np.quantile(np.stack(rows), 0.25, axis=1), 1e-14))


@cache
def _places() -> tuple[list[str], np.ndarray]:
    names = [place for place in BACKGROUNDS for _ in range(NUM_AMBIENCES)]
    waves = (ambience(place, 2 * RATE, RATE, seed) for place in BACKGROUNDS for seed in range(NUM_AMBIENCES))
    return names, np.stack([backdrop(wave) for wave in waves])


def judge_sound_of(heard: Heard, facts: dict[str, Any]) -> dict[str, float]:
    """Text to sound, without regard of when things sound.

    - sound_count: 1 where as many hits are heard as there are impacts (those within 50 ms are one).
    - sound_material: F1 of the materials that are heard, hit by hit, against those asked for; only where
      there is something to hear or heard.
    - sound_place: 1 where the background's ambience is heard.
    """
    wanted = asked(facts)
    values = {"sound_count": float(len(heard.hits) == len(wanted))}
    a, b = (
        Counter(name for hit in each for name in hit) for each in (wanted, [h.materials for h in heard.hits])
    )
    if total := sum(a.values()) + sum(b.values()):
        values["sound_material"] = 2 * sum((a & b).values()) / total
    return values | {"sound_place": float(heard.place == facts["background"])}


def asked(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """Materials of each impact, in order of time; what hits within 50 ms of another counts with the first."""
    found = sorted(facts["impacts"], key=lambda impact: impact["time_s"])
    kept = set(thinned(np.array([impact["time_s"] for impact in found])).tolist())
    return [
        tuple(sorted(facts["objects"][i]["material"] for i in impact["objects"]))
        for impact in found
        if impact["time_s"] in kept
    ]


class BounceHearing:
    """Judges sounds of the Bounce world against the facts in their manifest: what sounds, and where."""

    name = "bounce_hearing"
    scores = {
        "sound_count": Score(1, SHARE, "as many hits as the facts know"),
        "sound_material": Score(1, SHARE, "F1 of the materials heard, hit by hit"),
        "sound_place": Score(1, SHARE, "the ambience of the right background"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "preprocessing": f"mean of channels, {RATE} Hz (resample_poly)",
            "truth": "materials of the film's impacts, background",
        }

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or not {"impacts", "objects", "background"} <= facts.keys():
            raise ValueError("names no facts with impacts, objects and background to judge against")
        heard = listen(item.sound)
        wanted = [list(materials) for materials in asked(facts)]
        return Measurement(judge_sound_of(heard, facts), {"asked": wanted, "heard": asdict(heard)})
