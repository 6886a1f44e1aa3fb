"""Compose and render the instrumental music of a video by rule.

A bar has eight eighths: the melody goes through one pattern of scale degrees, the bass repeats the tonic at
each of the four beats. The clip is cut from music that began before it. Notes start at samples, so each is
synthesized once. As in `data.bounce.audio`, the samples come from exactly rounded operations only.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.bounce.facts import MusicFacts
from data.bounce.modal import Array, damped
from data.bounce.music_vocabulary import (
    BACKGROUND_MOODS,
    INSTRUMENTS,
    MOODS,
    PATTERNS,
    SCALES,
    TONICS,
    mood_of,
)
from data.bounce.portable_random import PortableRandom

BAR = 8  # eighths
LEVEL = 0.06  # peak of a melody note, about
BASS_LEVEL = 0.7  # of it
MELODY_OCTAVE = 12  # semitones above the bass


@dataclass(frozen=True)
class Instrument:
    """Timbre: partials and envelope. `decay_s` is the time to fall by 60 dB; 0 holds the note."""

    ratios: tuple[float, ...]
    levels: tuple[float, ...]
    attack_s: float
    decay_s: float
    damping: float  # higher partials fall faster: decay / ratio ** damping
    release_s: float  # fade after the note's end


_SAW = tuple(range(1, 11))
TIMBRES: dict[str, Instrument] = {
    "piano": Instrument(_SAW[:8], (1, 0.6, 0.4, 0.25, 0.2, 0.12, 0.08, 0.05), 0.003, 2.4, 0.6, 0.08),
    "marimba": Instrument((1, 3.93, 9.24), (1, 0.4, 0.12), 0.001, 0.5, 0.5, 0.05),
    "flute": Instrument((1, 2, 3), (1, 0.22, 0.06), 0.04, 0.0, 0.0, 0.05),
    "organ": Instrument((1, 2, 3, 4, 6, 8), (0.8, 1, 0.5, 0.8, 0.5, 0.6), 0.008, 0.0, 0.0, 0.03),
    "strings": Instrument(_SAW, tuple(1 / n**0.7 for n in _SAW), 0.06, 0.0, 0.0, 0.09),
}
assert tuple(TIMBRES) == INSTRUMENTS


def compose(
    seed: int,
    version: str,
    mood: str = "",
    instruments: tuple[str, ...] = INSTRUMENTS,
) -> MusicFacts:
    """Return the music of a seed; without a mood, any."""
    random = PortableRandom(seed, version + "/music")
    instrument = random.pick(instruments)
    mode, tempos = MOODS[mood or random.pick(tuple(MOODS))]
    tempo, tonic = random.pick(tempos), random.pick(tuple(TONICS))
    offset_s = BAR * eighth_s(tempo) * random.uniform()
    pattern = random.integer(0, len(PATTERNS) - 1)
    return MusicFacts(instrument, tempo, f"{tonic} {mode}", mood_of(mode, tempo), pattern, offset_s)


def mood_of_background(background: str) -> str:
    """Return the mood of the music that accompanies a background."""
    return BACKGROUND_MOODS[background]


def eighth_s(tempo_bpm: float) -> float:
    """Return the length of an eighth in seconds."""
    return 30.0 / tempo_bpm


def render_music(music: MusicFacts, count: int, rate: int) -> Array:
    """Return the music, float64 [count], without other audio."""
    tonic, mode = music.key.split()
    root, step_s = TONICS[tonic], eighth_s(music.tempo_bpm)
    pattern, out = PATTERNS[music.pattern], np.zeros(count)
    first, last = -2, int((count / rate + music.offset_s) / step_s) + 1  # of the bar that is cut
    for index in range(first, last + 1):
        start = round((index * step_s - music.offset_s) * rate)
        degree = pattern[index % BAR]
        midi = root + MELODY_OCTAVE + SCALES[mode][degree - 1]
        _add(out, start, note(music.instrument, midi, step_s, rate), LEVEL)
        if index % 2 == 0:
            _add(out, start, note(music.instrument, root, 2 * step_s, rate), LEVEL * BASS_LEVEL)
    return out


def _add(out: Array, start: int, wave: Array, level: float) -> None:
    """Add a wave that may begin before the first sample and end after the last."""
    begin, end = max(start, 0), min(start + len(wave), len(out))
    if begin < end:
        out[begin:end] += level * wave[begin - start : end - start]


@lru_cache(maxsize=512)
def note(instrument: str, midi: int, seconds: float, rate: int) -> Array:
    """Return one note, float64, `seconds` and its release long, its partials' levels adding up to 1."""
    timbre = TIMBRES[instrument]
    hertz = 440.0 * 2.0 ** ((midi - 69) / 12)
    length, release = round(seconds * rate), round(timbre.release_s * rate)
    wave, total = np.zeros(length + release), sum(timbre.levels)
    for ratio, level in zip(timbre.ratios, timbre.levels, strict=True):
        if hertz * ratio < 0.45 * rate:
            decay_s = timbre.decay_s / ratio**timbre.damping if timbre.decay_s else 1e9
            wave += level / total * damped(hertz * ratio, decay_s, len(wave), rate)[1]
    attack = max(round(timbre.attack_s * rate), 1)
    wave[:attack] *= np.arange(attack) / attack
    wave[length:] *= np.arange(release, 0, -1) / release
    return wave
