"""Recognize impacts, their materials and the background in the audio of a Bounce video.

    reading = analyze_audio(audio)             # from the samples alone
    values = evaluate_audio(reading, facts)    # facts: the video's ground truth as plain JSON

A hit is an onset. Its spectrum over time is compared with synthesized impacts of each material and size,
alone and in pairs. The background is classified from the noise floor below and between the hits. No network
is used.

Legend: W windows after a hit, B frequency bands, K candidates, S samples.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from itertools import combinations_with_replacement, pairwise
from typing import Any

import numpy as np

from data.bounce.audio import MODES, ambience, damped, strike
from data.bounce.vocabulary import BACKGROUNDS, SIZES
from eval.alignment.onsets import detect_onsets, merge_close_times
from eval.core.audio import Audio
from eval.core.results import FRACTION, Item, Measurement, Score
from src.core.rng import numpy_generator

VERSION = "bounce-audio-2"
SAMPLE_RATE = 48_000
WINDOW_EDGES_S = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3)  # bounds of the windows after a hit
BANDS_HZ = 60 * 2 ** (np.arange(49) / 6)  # sixth octaves, 60 Hz to 15 kHz
COMPRESSION = 0.5  # exponent of magnitudes, so that weak modes count
STRIKE_LEVEL = 0.3  # amplitude of the synthesized candidates
PAIR_PENALTY = 0.035  # similarity that a second object must add to be accepted
MIN_SIMILARITY = 0.56  # below, an onset belongs to the background (crackling fire, surf)
NUM_AMBIENCES = 6
LOUDNESS_WEIGHT = 0.15  # of the overall level, which hardly depends on the background


@dataclass(frozen=True)
class Hit:
    """One detected impact; `materials` in alphabetical order, two where two objects collide."""

    time_s: float
    materials: tuple[str, ...]
    similarity: float  # cosine of the best candidate


@dataclass(frozen=True)
class AudioReading:
    """Content that the checker recognizes in an audio track; `background` is empty for silence."""

    hits: tuple[Hit, ...]
    background: str


def analyze_audio(audio: Audio) -> AudioReading:
    """Detect hits and classify the background of audio with any rate and number of channels."""
    mono = audio.resample(SAMPLE_RATE).mono.astype(np.float64)
    times = detect_onsets(Audio(mono[None].astype(np.float32), SAMPLE_RATE))
    ends = [*times[1:], len(mono) / SAMPLE_RATE][: len(times)]
    hits = (_classify_hit(mono, float(t), float(end)) for t, end in zip(times, ends, strict=True))
    return AudioReading(
        tuple(hit for hit in hits if hit.similarity >= MIN_SIMILARITY), _classify_background(mono)
    )


def _classify_hit(mono: np.ndarray, time: float, end: float) -> Hit:
    start = max(round(time * SAMPLE_RATE), 0)
    before = mono[max(start - round(0.05 * SAMPLE_RATE), 0) : max(start - round(0.01 * SAMPLE_RATE), 0)]
    spectrum_WB = hit_spectrum(mono[start : start + round(WINDOW_EDGES_S[-1] * SAMPLE_RATE)], before)
    # windows that reach into the next hit are left out
    num_windows = max(sum(time + edge <= end + 0.005 for edge in WINDOW_EDGES_S[1:]), 1)
    materials, bank_KWB = _hit_bank()
    spectrum, bank = (each[..., :num_windows, :] for each in (spectrum_WB, bank_KWB))
    bank = bank.reshape(len(materials), -1)
    scale = np.linalg.norm(bank, axis=1) * max(float(np.linalg.norm(spectrum)), 1e-12)
    similarity = bank @ spectrum.ravel() / np.maximum(scale, 1e-12)
    similarity -= [PAIR_PENALTY * (len(each) - 1) for each in materials]
    best = int(similarity.argmax())
    return Hit(round(time, 4), tuple(sorted(materials[best])), float(similarity[best]))


def hit_spectrum(after_S: np.ndarray, before_S: np.ndarray) -> np.ndarray:
    """Return the compressed band levels of each window, [W, B], minus the level before the hit."""
    floor = _levels(before_S) if len(before_S) >= 64 else np.zeros(len(BANDS_HZ) - 1)
    rows = []
    for low, high in pairwise(WINDOW_EDGES_S):
        part = after_S[round(low * SAMPLE_RATE) : round(high * SAMPLE_RATE)]
        level = _levels(part) if len(part) >= 64 else np.zeros(len(BANDS_HZ) - 1)
        rows.append(np.maximum(level**2 - 2 * floor**2, 0) ** (COMPRESSION / 2))
    return np.stack(rows)


def _levels(part_S: np.ndarray) -> np.ndarray:
    """Return the root mean power of each band, [B]."""
    size = max(4096, len(part_S))
    power = np.abs(np.fft.rfft(part_S * np.hanning(len(part_S)), size)) ** 2 / len(part_S)
    edges = np.searchsorted(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), BANDS_HZ)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    return np.sqrt((sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(np.diff(edges), 1))


@cache
def _hit_bank() -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Return the materials of each candidate, and its spectrum [K, W, B]."""
    count = round(WINDOW_EDGES_S[-1] * SAMPLE_RATE)
    burst = damped(0.0, 0.012, count, SAMPLE_RATE)[0] * numpy_generator(0, "bounce-sound/click").uniform(
        -1, 1, count
    )
    alone = {
        (material, size): strike(material, size, STRIKE_LEVEL, count, SAMPLE_RATE)
        + STRIKE_LEVEL * MODES[material].click * burst
        for material in MODES
        for size in SIZES
    }
    names, bank = [], []
    for (material, _), wave in alone.items():
        names.append((material,))
        bank.append(hit_spectrum(wave, wave[:0]))
    for a, b in combinations_with_replacement(alone, 2):
        names.append((a[0], b[0]))
        bank.append(hit_spectrum(alone[a] + alone[b], burst[:0]))
    return names, np.stack(bank)


def _classify_background(mono_S: np.ndarray) -> str:
    if not mono_S.any():
        return ""
    names, bank_KB = _background_bank()
    gaps_KB = bank_KB - noise_floor(mono_S)
    # most of a constant offset is volume, not spectrum
    gaps_KB -= (1 - LOUDNESS_WEIGHT) * gaps_KB.mean(1, keepdims=True)
    return names[int(np.abs(gaps_KB).mean(1).argmin())]


def noise_floor(mono_S: np.ndarray) -> np.ndarray:
    """Return log10 of the level that each band exceeds three quarters of the time, [B]."""
    from scipy.signal import stft  # slow to import: not for --help

    size = min(4096, len(mono_S))
    hertz, _, spectrum = stft(mono_S, SAMPLE_RATE, nperseg=size, boundary=None, padded=False)
    power_FT = np.abs(spectrum) ** 2
    bands = np.clip(np.searchsorted(hertz, BANDS_HZ), 0, len(hertz) - 1)
    rows = [power_FT[a : max(b, a + 1)].mean(0) for a, b in pairwise(bands)]
    return 0.5 * np.log10(np.maximum(np.quantile(np.stack(rows), 0.25, axis=1), 1e-14))


@cache
def _background_bank() -> tuple[list[str], np.ndarray]:
    names = [background for background in BACKGROUNDS for _ in range(NUM_AMBIENCES)]
    waves = (
        ambience(background, 2 * SAMPLE_RATE, SAMPLE_RATE, seed)
        for background in BACKGROUNDS
        for seed in range(NUM_AMBIENCES)
    )
    return names, np.stack([noise_floor(wave) for wave in waves])


def evaluate_audio(reading: AudioReading, facts: dict[str, Any]) -> dict[str, float]:
    """Compare the recognized content with the facts, except timing (see `eval.alignment.onsets`).

    - audio_hits: 1 if the number of hits equals the number of impacts (those within 50 ms count as one).
    - audio_materials: F1 of the materials over all hits; absent where neither side has a hit.
    - audio_background: 1 if the ambience is that of the background.
    """
    expected = expected_materials(facts)
    values = {"audio_hits": float(len(reading.hits) == len(expected))}
    a, b = (
        Counter(name for hit in each for name in hit)
        for each in (expected, [hit.materials for hit in reading.hits])
    )
    if total := sum(a.values()) + sum(b.values()):
        values["audio_materials"] = 2 * sum((a & b).values()) / total
    return values | {"audio_background": float(reading.background == facts["background"])}


def expected_materials(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the materials of each impact in order of time; impacts within 50 ms of another are merged."""
    found = sorted(facts["impacts"], key=lambda impact: impact["time_s"])
    kept = set(merge_close_times(np.array([impact["time_s"] for impact in found])).tolist())
    return [
        tuple(sorted(facts["objects"][i]["material"] for i in impact["objects"]))
        for impact in found
        if impact["time_s"] in kept
    ]


class BounceAudioMetric:
    """Score the audio of Bounce videos against their facts: number of hits, materials, background."""

    name = "bounce_audio"
    scores = {
        "audio_hits": Score(1, FRACTION, "number of hits equals the number of impacts"),
        "audio_materials": Score(1, FRACTION, "F1 of the materials over all hits"),
        "audio_background": Score(1, FRACTION, "ambience of the correct background"),
    }

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "preprocessing": f"mean of channels, {SAMPLE_RATE} Hz (resample_poly)",
            "truth": "materials of the video's impacts, background",
        }

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or not {"impacts", "objects", "background"} <= facts.keys():
            raise ValueError("sample has no `facts` with impacts, objects and background")
        reading = analyze_audio(item.audio)
        expected = [list(materials) for materials in expected_materials(facts)]
        return Measurement(evaluate_audio(reading, facts), {"expected": expected, "reading": asdict(reading)})
