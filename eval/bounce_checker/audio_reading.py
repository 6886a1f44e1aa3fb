"""Impacts, background and music that the checker recognizes in an audio track."""

from dataclasses import dataclass

import numpy as np

from eval.bounce_checker.audio_ambience import classify_background
from eval.bounce_checker.audio_impacts import Hit, find_hits
from eval.bounce_checker.audio_music import MusicReading, read_music, resynthesize
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.core.audio import Audio

MUSIC_VOLUME = 1.68  # under music soft strikes are not looked for: notes off their place fit as such


@dataclass(frozen=True)
class AudioReading:
    """Content of an audio track. `background` is empty for silence, `music` None where there is none."""

    hits: tuple[Hit, ...]
    background: str
    music: MusicReading | None = None


def analyze_audio(audio: Audio) -> AudioReading:
    """Recognize impacts, background and music in audio with any rate and number of channels."""
    mono_S = audio.resample(SAMPLE_RATE).mono.astype(np.float64)
    music = read_music(mono_S)
    if music is not None and not music.is_music:
        music = None
    music_S = resynthesize(mono_S, music.music) if music else None
    background, volume = classify_background(mono_S, music_S)
    if music:  # hides the floor, which then says nothing of the volume
        volume = MUSIC_VOLUME
    return AudioReading(find_hits(mono_S, volume, music_S), background, music)
