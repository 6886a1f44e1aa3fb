"""Constructed audio per filter: speech, music, sound effects, ambience, silence.

Thresholds are set on synthetic music and effects and scored also on the recordings of Debian's
sonic-pi-samples: instruments that play rendered notes, and sound effects.

Legend: S samples at RATE, mono, float32, SECONDS long, of RMS 1 unless said otherwise.
"""

from functools import cache
from pathlib import Path

import numpy as np
import soxr

from data.bounce import audio as bounce
from data.bounce.music import compose, render_music
from data.bounce.vocabulary import BACKGROUNDS, MATERIALS, SIZES
from data.curation.audio_events import RATE
from data.curation.truth.speech import make_speech, read_mono_file

SECONDS = 4.0
COUNT = round(SECONDS * RATE)
SONIC_PI = Path("/usr/share/sonic-pi/samples")
EFFECTS = ("perc", "vinyl", "misc", "mehackit", "glitch")  # families of recordings that are no music
INSTRUMENTS = ("ambi_piano", "ambi_choir", "guit_harmonics", "bass_thick_c", "bass_trance_c", "elec_bell")
DRUMS = (
    ("bd_haus", "drum_snare_hard"),
    ("tabla_ghe1", "tabla_na"),
    ("drum_heavy_kick", "drum_cymbal_closed"),
)
SCALE = np.array([0, 2, 4, 5, 7, 9, 11, 12])  # semitones of the major scale


def voice(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Speech over a background; else effects, ambience and music. `strength` scales the speech's level."""
    background = _noise(rng) * rng.uniform(0.003, 0.02)
    if not reject:
        other = _music(rng, group) if rng.random() < 0.4 else _effects(rng, group)
        return other * rng.uniform(0.05, 0.3) + background
    speech = make_speech(rng, group)
    start = int(rng.integers(0, max(len(background) - len(speech), 1)))
    part = speech[: len(background) - start]
    background[start : start + len(part)] += part * strength * rng.uniform(0.3, 0.9)
    return background


def music(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Music; else effects, ambience and speech. `strength` scales the level of the music."""
    background = _noise(rng) * rng.uniform(0.003, 0.02)
    if reject:
        return _music(rng, group) * strength * rng.uniform(0.1, 0.4) + background
    if rng.random() < 0.4:
        return voice(rng, True, 1.0, group)
    return _effects(rng, group) * rng.uniform(0.05, 0.3) + background


def silence(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Nothing, or noise below -66 dBFS (the louder, the smaller the strength); else anything audible."""
    if reject:
        level = 0.0 if rng.random() < 0.3 else 10 ** (rng.uniform(-90, -66) / 20) / max(strength, 1e-3)
        return _noise(rng) * level
    return voice(rng, bool(rng.random() < 0.5), 1.0, group)


def _effects(rng: np.random.Generator, group: str) -> np.ndarray:
    """Return noises, impacts in a room with its ambience, or recorded sound effects."""
    kind = rng.integers(3 if group == "scoring" else 2)
    return (_noise, _impacts, _recorded_effects)[kind](rng)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Return white to brown noise, steady, in gusts, or as bursts."""
    spectrum = np.fft.rfft(rng.standard_normal(COUNT))
    spectrum /= np.maximum(np.fft.rfftfreq(COUNT), 20 / RATE) ** rng.uniform(0, 1)
    samples = np.fft.irfft(spectrum, COUNT)
    kind = rng.integers(3)
    if kind == 1:
        samples *= 0.3 + np.interp(np.arange(COUNT), np.linspace(0, COUNT, 12), rng.random(12))
    elif kind == 2:
        since = np.arange(COUNT) - rng.integers(0, COUNT, 6)[:, None]
        samples *= np.exp(-np.where(since >= 0, since, COUNT).min(0) / (RATE * rng.uniform(0.03, 0.2)))
    return _unit(samples)


def _impacts(rng: np.random.Generator) -> np.ndarray:
    """Return objects of Bounce that strike the floor now and then, over the ambience of a background."""
    ambience = bounce.ambience(str(rng.choice(BACKGROUNDS)), COUNT, RATE, int(rng.integers(2**31)))
    samples = ambience * rng.uniform(1, 4)
    for _ in range(int(rng.integers(0, 5))):
        material, size = str(rng.choice(MATERIALS)), str(rng.choice(list(SIZES)))
        ring = bounce.strike(material, size, rng.uniform(0.2, 0.8), RATE, RATE)
        _add(samples, int(rng.integers(COUNT)), ring)
    return _unit(samples)


def _recorded_effects(rng: np.random.Generator) -> np.ndarray:
    names = sorted(path.stem for path in _recordings() if path.stem.partition("_")[0] in EFFECTS)
    samples = np.zeros(COUNT)
    for _ in range(int(rng.integers(1, 4))):
        _add(samples, int(rng.integers(COUNT * 3 // 4)), _recording(str(rng.choice(names))))
    return _unit(samples)


def _music(rng: np.random.Generator, group: str) -> np.ndarray:
    """Return chords with melody and drums or a tune of Bounce; for scoring also of recorded instruments."""
    kind = rng.integers(3 if group == "scoring" else 2)
    if kind == 0:
        return _play(rng, _add_synthetic_note, _add_synthetic_drum)
    if kind == 1:
        tune = compose(int(rng.integers(2**31)), "truth")
        return _unit(render_music(tune, COUNT, RATE))
    name, drums = str(rng.choice(INSTRUMENTS)), DRUMS[rng.integers(len(DRUMS))]

    def add_note(samples: np.ndarray, at: int, length: int, pitch: float, level: float, _: object) -> None:
        _add(samples, at, level * _pitched(name, round(pitch, 3), length))

    def add_drum(samples: np.ndarray, at: int, number: int, _: object) -> None:
        _add(samples, at, _recording(drums[number % 2]))

    return _play(rng, add_note, add_drum)


def _play(rng: np.random.Generator, add_note, add_drum) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return a progression of chords with a melody and drums."""
    beat = round(RATE * 60 / rng.uniform(80, 140))
    samples = np.zeros(COUNT)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    for number, at in enumerate(range(0, COUNT, beat)):
        if number % 4 == 0:
            degree = rng.choice([0, 3, 4, 5])
            for k in (degree, degree + 2, degree + 4):
                pitch = root * 2 ** ((SCALE[k % 7] + 12 * (k // 7)) / 12)
                add_note(samples, at, 4 * beat, pitch, 0.5, rng)
        add_note(samples, at, beat, 2 * root * 2 ** (rng.choice(SCALE) / 12), 0.6, rng)
        add_drum(samples, at, number, rng)
    return _unit(samples)


def _add_synthetic_note(
    samples: np.ndarray, at: int, length: int, pitch: float, level: float, rng: np.random.Generator
) -> None:
    t = np.arange(length) / RATE
    partials = sum(np.sin(2 * np.pi * pitch * k * t + k) / k**1.3 for k in range(1, 7))
    _add(samples, at, level * partials * np.exp(-t * rng.uniform(0.8, 3)) * np.minimum(t / 0.01, 1))


def _add_synthetic_drum(samples: np.ndarray, at: int, number: int, rng: np.random.Generator) -> None:
    t = np.arange(RATE // 5) / RATE
    kick = np.sin(2 * np.pi * 60 * t * (1 + np.exp(-t * 30))) * np.exp(-t * 18)
    snare = rng.standard_normal(len(t)) * np.exp(-t * 25) * 0.4
    _add(samples, at, (kick, snare)[number % 2])


@cache
def _pitched(name: str, pitch: float, length: int) -> np.ndarray:
    """Return a recorded instrument, played faster or slower so that its sound at 130.8 Hz has a pitch."""
    note = soxr.resample(_recording(name), RATE * pitch / 130.8, RATE)[:length].copy()
    note[-RATE // 50 :] *= np.linspace(1, 0, len(note[-RATE // 50 :]))
    return note


@cache
def _recording(name: str) -> np.ndarray:
    """Return a recording, peak 1."""
    samples = read_mono_file(SONIC_PI / f"{name}.flac")
    return samples / max(float(np.abs(samples).max()), 1e-9)


@cache
def _recordings() -> tuple[Path, ...]:
    """Return the files of sonic-pi-samples.

    Raises:
        ValueError: it is not installed.
    """
    files = tuple(sorted(SONIC_PI.glob("*.flac")))
    if not files:
        raise ValueError("recordings: needs apt-get install sonic-pi-samples")
    return files


def _add(samples: np.ndarray, at: int, wave: np.ndarray) -> None:
    samples[at : at + len(wave)] += wave[: max(len(samples) - at, 0)]


def _unit(samples: np.ndarray) -> np.ndarray:
    return (samples / max(float(samples.std()), 1e-9)).astype(np.float32)


AUDIO_MAKERS = {"voice": voice, "music": music, "silence": silence}
