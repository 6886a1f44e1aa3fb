"""Speech of constructed audio: from the programs flite and espeak-ng, and the recordings of alsa-utils.

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
    "scoring": ("flite slt", "flite rms", "flite awb", "alsa", "espeak en-us+f3", "espeak de"),
}
ALSA = Path("/usr/share/sounds/alsa")


def make_speech(rng: np.random.Generator, group: str) -> np.ndarray:
    """Return a sentence (or a few recorded words) of peak 1, of one of the group's voices."""
    return _speech(str(rng.choice(VOICES[group])), int(rng.integers(len(SENTENCES))))


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
        samples = np.concatenate([read_mono_file(files[(number + k) % len(files)]) for k in range(2)])
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


def read_mono_file(path: Path) -> np.ndarray:
    """Return the samples of an audio file at RATE, channels averaged."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return _resample(samples.mean(1), rate)


def _resample(samples: np.ndarray, rate: int) -> np.ndarray:
    return soxr.resample(np.ascontiguousarray(samples, np.float32), rate, RATE)
