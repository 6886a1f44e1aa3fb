"""Constructed audio: synthetic and recorded speech, music from chords and drums, noises, silence.

Speech comes from the programs flite and espeak-ng, and from the recordings of alsa-utils where installed.

Legend: S samples at RATE, mono, float32.
"""

import io
import subprocess
import wave
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from data.curation.audio_events import RATE

SECONDS = 4.0
SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
)
VOICES = {
    "setting": ("flite kal16", "espeak en-us", "espeak en-gb"),
    "scoring": ("flite slt", "flite rms", "flite awb", "alsa"),
}
ALSA = Path("/usr/share/sounds/alsa")


def voice(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Speech over a background; else noises and music. `strength` scales the speech's level."""
    background = _noise(rng) * rng.uniform(0.003, 0.02)
    if not reject:
        return (_music(rng) if rng.random() < 0.4 else _noise(rng)) * rng.uniform(0.05, 0.3) + background
    speech = _speech(str(rng.choice(VOICES[group])), int(rng.integers(len(SENTENCES))))
    start = int(rng.integers(0, max(len(background) - len(speech), 1)))
    part = speech[: len(background) - start]
    background[start : start + len(part)] += part * strength * rng.uniform(0.3, 0.9)
    return background


def music(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Chords, melody and drums; else noises and speech. `strength` scales the level of the music."""
    background = _noise(rng) * rng.uniform(0.003, 0.02)
    if reject:
        return _music(rng) * strength * rng.uniform(0.1, 0.4) + background
    if rng.random() < 0.4:
        return voice(rng, True, 1.0, group)
    return _noise(rng) * rng.uniform(0.05, 0.3) + background


def silence(rng: np.random.Generator, reject: bool, strength: float, group: str) -> np.ndarray:
    """Nothing, or noise below -66 dBFS (the louder, the smaller the strength); else anything audible."""
    if reject:
        level = 0.0 if rng.random() < 0.3 else 10 ** (rng.uniform(-90, -66) / 20) / max(strength, 1e-3)
        return _noise(rng) * level
    return voice(rng, bool(rng.random() < 0.5), 1.0, group)


def _noise(rng: np.random.Generator) -> np.ndarray:
    """Return noise of RMS 1: white to brown, steady, in gusts, or as impacts."""
    count = round(SECONDS * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.maximum(np.fft.rfftfreq(count), 20 / RATE) ** rng.uniform(0, 1)
    samples = np.fft.irfft(spectrum, count)
    kind = rng.integers(3)
    if kind == 1:
        samples *= 0.3 + np.interp(np.arange(count), np.linspace(0, count, 12), rng.random(12))
    elif kind == 2:
        gaps = rng.integers(0, count, 6)
        since = np.min(
            np.where(np.arange(count) >= gaps[:, None], np.arange(count) - gaps[:, None], count), axis=0
        )
        samples *= np.exp(-since / (RATE * rng.uniform(0.03, 0.2)))
    return (samples / max(float(samples.std()), 1e-9)).astype(np.float32)


def _music(rng: np.random.Generator) -> np.ndarray:
    """Return a progression of chords with a melody and drums, RMS 1."""
    count = round(SECONDS * RATE)
    beat = round(RATE * 60 / rng.uniform(80, 140))
    samples = np.zeros(count + 4 * beat, np.float32)
    root = 110 * 2 ** (rng.integers(0, 12) / 12)
    scale = np.array([0, 2, 4, 5, 7, 9, 11, 12])
    for number, at in enumerate(range(0, count, beat)):
        if number % 4 == 0:
            degree = rng.choice([0, 3, 4, 5])
            chord = [
                root * 2 ** ((scale[(degree + k) % 7] + 12 * ((degree + k) // 7)) / 12) for k in (0, 2, 4)
            ]
            for pitch in chord:
                _add_note(samples, at, 4 * beat, pitch, 0.5, rng)
        _add_note(samples, at, beat, 2 * root * 2 ** (rng.choice(scale) / 12), 0.6, rng)
        _add_drum(samples, at, number, rng)
    samples = samples[:count]
    return samples / max(float(samples.std()), 1e-9)


def _add_note(
    samples: np.ndarray, at: int, length: int, pitch: float, level: float, rng: np.random.Generator
) -> None:
    t = np.arange(length) / RATE
    partials = sum(np.sin(2 * np.pi * pitch * k * t + k) / k**1.3 for k in range(1, 7))
    note = level * partials * np.exp(-t * rng.uniform(0.8, 3)) * np.minimum(t / 0.01, 1)
    samples[at : at + length] += note[: len(samples) - at].astype(np.float32)


def _add_drum(samples: np.ndarray, at: int, number: int, rng: np.random.Generator) -> None:
    t = np.arange(RATE // 5) / RATE
    kick = np.sin(2 * np.pi * 60 * t * (1 + np.exp(-t * 30))) * np.exp(-t * 18)
    snare = rng.standard_normal(len(t)) * np.exp(-t * 25) * 0.4
    samples[at : at + len(t)] += ((kick, snare)[number % 2])[: len(samples) - at].astype(np.float32)


@cache
def _speech(source: str, number: int) -> np.ndarray:
    """Return speech of peak 1.

    Raises:
        ValueError: the program or the recordings are not installed.
    """
    program, _, voice_name = source.partition(" ")
    if program == "alsa":
        files = sorted(ALSA.glob("*_*.wav"))
        if not files:
            raise ValueError("speech: needs apt-get install alsa-utils")
        chosen = [files[(number + k) % len(files)] for k in range(2)]
        samples = np.concatenate([_read(path) for path in chosen])
    else:
        commands = {
            "flite": ["flite", "-voice", voice_name, "-t", SENTENCES[number], "-o", "/dev/stdout"],
            "espeak": ["espeak-ng", "-v", voice_name, "--stdout", SENTENCES[number]],
        }
        samples = _run(commands[program])
    return samples / max(float(np.abs(samples).max()), 1e-9)


def _run(command: list[str]) -> np.ndarray:
    try:
        found = subprocess.run(command, check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise ValueError("speech: needs apt-get install flite espeak-ng") from None
    with wave.open(io.BytesIO(found)) as file:
        rate = file.getframerate()
    start = found.index(b"data") + 8  # programs that write to a pipe do not know the length
    return _resample(np.frombuffer(found[start : len(found) - (len(found) - start) % 2], "<i2") / 32768, rate)


def _read(path: Path) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return _resample(samples.mean(1), rate)


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(np.ascontiguousarray(samples, np.float32), rate, RATE)


AUDIO_MAKERS = {"voice": voice, "music": music, "silence": silence}
