"""Recognize the music of a Bounce video: instrument, tempo, key and mood.

Instrument and key are those whose expected spectrum, made of single synthesized notes, is nearest to the mean
spectrum. The tempo is that of the melody which the levels of the key's degrees follow best.

Legend: S samples, F log frequencies, T times, D degrees of the scale, N rows of the bank or offsets.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from data.bounce.facts import MusicFacts
from data.bounce.music import BASS_LEVEL, MELODY_OCTAVE, eighth_s, note, render_music
from data.bounce.music_vocabulary import INSTRUMENTS, PATTERNS, SCALES, TEMPOS, TONICS, mood_of
from eval.bounce_checker.audio_spectra import SAMPLE_RATE

BINS_PER_OCTAVE, NUM_OCTAVES, LOWEST_HZ = 36, 6, 110.0
WINDOW, HOP = 8192, 2048  # samples of the spectrum of tones
NOTE_WINDOW, NOTE_HOP = 4096, 960  # samples of the levels of notes
OFFSET_STEP_S = 0.03
EXPONENT = 0.25  # of powers
MAX_SHIFT = 1  # bins of detuning, a third of a semitone each
TEMPO_FACTORS = (0.97, 0.985, 1.0, 1.015, 1.03)
NUM_KEYS = 3  # by spectrum, between which the melody decides
FIRST_TEMPO = 80  # whose templates give the key before the tempo is known
MIN_EVIDENCE = 1.17  # sum of both; impacts and ambience reach 1.06
DEGREES = tuple(sorted({degree for pattern in PATTERNS for degree in pattern}))
_ROW_OF_DEGREE = np.array([DEGREES.index(d) if d in DEGREES else 0 for d in range(9)])


@dataclass(frozen=True)
class MusicReading:
    """Recognized music. `similarity` is the cosine of its spectrum, `clearness` that of its melody."""

    music: MusicFacts
    similarity: float
    clearness: float

    @property
    def is_music(self) -> bool:
        return self.similarity + self.clearness >= MIN_EVIDENCE


def read_music(mono_S: np.ndarray) -> MusicReading | None:
    """Return the best explanation of audio at 48 kHz as music; None for silence or under half a second."""
    if len(mono_S) < SAMPLE_RATE // 2 or not mono_S.any():
        return None
    spectrum_F = tone_levels(mono_S, MAX_SHIFT).mean(0)
    readings = []
    for tonic, mode in _likely_keys(spectrum_F):
        tempo, pattern, offset_s, clearness = _read_notes(mono_S, TONICS[tonic], mode)
        instrument, similarity = _read_instrument(spectrum_F, tempo, (tonic, mode))
        music = MusicFacts(instrument, tempo, f"{tonic} {mode}", mood_of(mode, tempo), pattern, offset_s)
        readings.append(MusicReading(music, similarity, clearness))
    best = max(readings, key=lambda each: each.similarity + each.clearness)
    if not best.is_music:
        return best
    return replace(best, music=_choose_instrument(mono_S, best.music))


def resynthesize(mono_S: np.ndarray, music: MusicFacts) -> np.ndarray:
    """Return recognized music as it sounds in the audio, at the level of its strongest tones."""
    wave_S = render_music(music, len(mono_S), SAMPLE_RATE)
    heard_TF, played_TF = tone_levels(mono_S), tone_levels(wave_S)
    strong = played_TF >= np.quantile(played_TF, 0.95)
    return wave_S * float(np.median(heard_TF[strong] / played_TF[strong])) ** (0.5 / EXPONENT)


def _choose_instrument(mono_S: np.ndarray, music: MusicFacts) -> MusicFacts:
    """Return the music with the instrument on which it sounds most like the audio, moment by moment."""
    heard_TF = tone_levels(mono_S, MAX_SHIFT)
    size = heard_TF.shape[1] - 2 * MAX_SHIFT
    detuned = [_centered(heard_TF[:, shift : shift + size]) for shift in range(2 * MAX_SHIFT + 1)]

    def likeness(played: MusicFacts) -> float:
        played_TF = _centered(tone_levels(render_music(played, len(mono_S), SAMPLE_RATE)))
        return max(float((played_TF * each_TF).sum()) for each_TF in detuned)

    return max((replace(music, instrument=name) for name in INSTRUMENTS), key=likeness)


def _centered(levels_TF: np.ndarray) -> np.ndarray:
    levels_TF = levels_TF - levels_TF.mean(1, keepdims=True)
    return levels_TF / np.maximum(np.linalg.norm(levels_TF, axis=1, keepdims=True), 1e-12)


def _likely_keys(spectrum_F: np.ndarray) -> list[tuple[str, str]]:
    """Return tonic and mode of the nearest spectra, best first; the melody decides between them."""
    names, _ = _bank(FIRST_TEMPO)
    order = np.argsort(-_similarities(spectrum_F, FIRST_TEMPO))
    return list(dict.fromkeys(names[i][1:] for i in order))[:NUM_KEYS]


def _read_instrument(spectrum_F: np.ndarray, tempo: int, key: tuple[str, str]) -> tuple[str, float]:
    """Return the instrument of the nearest spectrum in a key at a tempo, and the similarity."""
    names, _ = _bank(tempo)
    in_key_N = np.array([name[1:] == key for name in names])
    similarity_N = np.where(in_key_N, _similarities(spectrum_F, tempo), -1.0)
    best = int(similarity_N.argmax())
    return names[best][0], float(similarity_N[best])


def _similarities(spectrum_F: np.ndarray, tempo: int) -> np.ndarray:
    """Return the cosine of a spectrum and each row of the bank, at the best detuning, [N]."""
    _, bank_NF = _bank(tempo)
    size = bank_NF.shape[1]
    views = np.stack([spectrum_F[shift : shift + size] for shift in range(2 * MAX_SHIFT + 1)])
    views = views - views.mean(1, keepdims=True)
    views /= np.maximum(np.linalg.norm(views, axis=1, keepdims=True), 1e-12)
    return (bank_NF @ views.T).max(1)


def tone_levels(mono_S: np.ndarray, margin: int = 0) -> np.ndarray:
    """Return compressed levels at log frequencies over time, with `margin` more bins at both ends, [T, F]."""
    starts = range(0, max(len(mono_S) - WINDOW, 0) + 1, HOP)
    window = np.hanning(WINDOW)
    parts = np.stack([np.pad(mono_S[s : s + WINDOW], (0, max(s + WINDOW - len(mono_S), 0))) for s in starts])
    power = np.abs(np.fft.rfft(parts * window)) ** 2
    hertz = LOWEST_HZ * 2 ** (np.arange(-margin, BINS_PER_OCTAVE * NUM_OCTAVES + margin) / BINS_PER_OCTAVE)
    # the strongest line within each bin, interpolated where bins are narrower than lines
    at = hertz * WINDOW / SAMPLE_RATE
    low = np.floor(at).astype(int)
    levels = np.maximum(power[:, low] * (1 - (at - low)) + power[:, low + 1] * (at - low), 1e-16) ** EXPONENT
    return levels


@cache
def _bank(tempo: int) -> tuple[list[tuple[str, str, str]], np.ndarray]:
    """Return instrument, tonic and mode of each row, and centered spectra of unit norm, [N, F]."""
    names, rows = [], []
    for instrument in INSTRUMENTS:
        for tonic, root in TONICS.items():
            for mode, degrees in SCALES.items():
                bass_F = _note_power(instrument, root, 2 * eighth_s(tempo)) * BASS_LEVEL**2
                melody = {
                    degree: _note_power(
                        instrument, root + MELODY_OCTAVE + degrees[degree - 1], eighth_s(tempo)
                    )
                    for degree in {d for pattern in PATTERNS for d in pattern}
                }
                for pattern in PATTERNS:
                    # compressed, then averaged over the pattern, as spectra of audio are
                    levels = [(melody[degree] + bass_F) ** EXPONENT for degree in pattern]
                    names.append((instrument, tonic, mode))
                    rows.append(np.mean(levels, axis=0))
    bank_NF = np.stack(rows)
    bank_NF -= bank_NF.mean(1, keepdims=True)
    return names, bank_NF / np.linalg.norm(bank_NF, axis=1, keepdims=True)


@cache
def _note_power(instrument: str, midi: int, seconds: float) -> np.ndarray:
    wave_S = note(instrument, midi, seconds, SAMPLE_RATE)
    levels_TF = tone_levels(np.pad(wave_S, (0, max(WINDOW - len(wave_S), 0))))
    return levels_TF.mean(0) ** (1 / EXPONENT)


def _read_notes(mono_S: np.ndarray, root: int, mode: str) -> tuple[int, int, float, float]:
    """Return tempo, pattern and offset in seconds of the melody in a key, and how clearly it is heard.

    The levels of the scale's degrees over time are compared with every pattern at every tempo and offset.
    """
    levels_DT, step_s = _degree_levels(mono_S, root, mode), NOTE_HOP / SAMPLE_RATE
    time_T = np.arange(levels_DT.shape[1]) * step_s
    best = (0, 0, 0.0, -np.inf)
    for tempo in TEMPOS:
        for factor in TEMPO_FACTORS:
            eighth = eighth_s(tempo) * factor
            offsets_N = np.arange(0, 8 * eighth, OFFSET_STEP_S)
            index_NT = ((time_T + offsets_N[:, None]) / eighth).astype(int) % 8
            for number, pattern in enumerate(PATTERNS):
                rows_NT = _ROW_OF_DEGREE[np.array(pattern)][index_NT]
                scores_N = levels_DT[rows_NT, np.arange(len(time_T))].mean(1)
                n = int(scores_N.argmax())
                if scores_N[n] > best[3]:
                    best = (tempo, number, float(offsets_N[n]), float(scores_N[n]))
    return best


def _degree_levels(mono_S: np.ndarray, root: int, mode: str) -> np.ndarray:
    """Return the level of each degree of the melody over time, centered at each time and for each degree."""
    starts = np.arange(0, max(len(mono_S) - NOTE_WINDOW, 0) + 1, NOTE_HOP)
    padded_S = np.pad(mono_S, (NOTE_WINDOW // 2, NOTE_WINDOW))
    parts = padded_S[starts[:, None] + np.arange(NOTE_WINDOW)] * np.hanning(NOTE_WINDOW)
    spectrum_TF = np.abs(np.fft.rfft(parts, 2 * NOTE_WINDOW)) ** (2 * EXPONENT)
    rows = []
    for degree in DEGREES:
        hertz = 440 * 2 ** ((root + MELODY_OCTAVE + SCALES[mode][degree - 1] - 69) / 12)
        at = round(hertz * 2 * NOTE_WINDOW / SAMPLE_RATE)
        rows.append(spectrum_TF[:, at - 1 : at + 2].max(1))
    levels_DT = np.stack(rows)
    levels_DT = levels_DT - np.median(levels_DT, 1, keepdims=True)
    levels_DT /= np.maximum(levels_DT.std(1, keepdims=True), 1e-12)
    return np.clip(levels_DT, -2, 2) - np.clip(levels_DT, -2, 2).mean(0)
