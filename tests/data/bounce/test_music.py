import hashlib

import numpy as np
import pytest

from data.bounce.facts import MusicFacts
from data.bounce.music import compose, eighth_s, note, render_music
from data.bounce.music_vocabulary import BACKGROUND_MOODS, INSTRUMENTS, MOODS, PATTERNS, TEMPOS, TONICS
from data.bounce.vocabulary import BACKGROUNDS

RATE = 48_000


def music(**changes) -> MusicFacts:
    values = {"instrument": "marimba", "tempo_bpm": 80, "key": "D minor", "mood": "sad", "pattern": 0}
    return MusicFacts(**values | {"offset_s": 0.0} | changes)


def test_vocabulary_is_consistent():
    assert set(BACKGROUND_MOODS) == set(BACKGROUNDS)
    assert set(BACKGROUND_MOODS.values()) == set(MOODS)
    assert sorted(tempo for _, tempos in MOODS.values() for tempo in tempos) == sorted([*TEMPOS, *TEMPOS])
    for pattern in PATTERNS:  # the third tells the mode in any half bar
        assert all(3 in (pattern + pattern)[i : i + 4] for i in range(8))


def test_mood_decides_mode_and_tempo():
    pieces = [compose(seed, "bounce-1", mood) for seed in range(8) for mood in MOODS]
    for piece in pieces:
        mode, tempos = MOODS[piece.mood]
        assert piece.key.split()[1] == mode
        assert piece.tempo_bpm in tempos
    assert {piece.instrument for piece in pieces} == set(INSTRUMENTS)
    assert {compose(seed, "bounce-1").mood for seed in range(20)} == set(MOODS)
    assert compose(5, "bounce-1") == compose(5, "bounce-1")


def test_notes_begin_at_the_eighths_of_the_tempo():
    wave = render_music(music(offset_s=0.1), 3 * RATE, RATE)
    rises = np.abs(np.diff(wave))
    step = eighth_s(80)
    for k in range(1, 7):
        start = round((k * step - 0.1) * RATE)
        assert rises[start : start + 96].max() > 3 * rises[start - 960 : start - 480].max()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_the_pitch_of_a_note(instrument):
    spectrum = np.abs(np.fft.rfft(note(instrument, 69, 0.5, RATE), 4 * RATE))
    lowest = np.flatnonzero(spectrum > 0.5 * spectrum.max())[0] / 4
    assert lowest == pytest.approx(440, rel=0.02)


def test_the_key_is_what_is_played():
    wave = render_music(music(instrument="flute", key="A major", pattern=1), 4 * RATE, RATE)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    low = spectrum[: 4 * 230].argmax() / 4
    assert low == pytest.approx(440 * 2 ** ((TONICS["A"] - 69) / 12), abs=1)
    major, minor = (
        spectrum[round(4 * hertz) - 8 : round(4 * hertz) + 9].max()
        for hertz in (440 * 2 ** ((73 - 69) / 12), 440 * 2 ** ((72 - 69) / 12))
    )
    assert major > 10 * minor


def test_golden_music():
    """If it changes, raise WORLD_VERSION."""
    waves = [render_music(music(instrument=name, offset_s=0.3), RATE, RATE) for name in INSTRUMENTS]
    digest = hashlib.sha256(b"".join(wave.astype(np.float32).tobytes() for wave in waves)).hexdigest()
    assert digest[:16] == "4fb3ab9aa4b6c2ee"
