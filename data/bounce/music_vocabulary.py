"""The words of the Bounce world's music, and the notes that they stand for. Needs no NumPy."""

PARTS = ("impacts", "ambience", "music")
"""Parts of which audio is mixed, delivered apart as stems."""

INSTRUMENTS = ("piano", "marimba", "flute", "organ", "strings")

TEMPOS: dict[int, str] = {60: "slow", 80: "moderate", 104: "lively", 140: "fast"}
"""Beats per minute; no tempo is about twice another, so that eighths are not taken for quarters."""

TONICS: dict[str, int] = {"C": 48, "D": 50, "E": 52, "F": 53, "G": 55, "A": 57}
"""MIDI note of the bass."""

SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11, 12),
    "minor": (0, 2, 3, 5, 7, 8, 10, 12),
}
"""Semitones of the degrees 1 to 8 above the tonic."""

KEYS = tuple(f"{tonic} {mode}" for tonic in TONICS for mode in SCALES)

MOODS: dict[str, tuple[str, tuple[int, ...]]] = {
    "calm": ("major", (60, 80)),
    "happy": ("major", (104, 140)),
    "sad": ("minor", (60, 80)),
    "tense": ("minor", (104, 140)),
}
"""Mode and tempos of a mood."""

BACKGROUND_MOODS: dict[str, str] = {
    "plain": "calm",
    "tiles": "tense",
    "wood": "sad",
    "grass": "happy",
    "sand": "calm",
    "bricks": "tense",
    "carpet": "happy",
}
"""Mood of the music that accompanies a background from outside the scene."""

PATTERNS: tuple[tuple[int, ...], ...] = (
    (1, 3, 5, 3, 8, 5, 3, 5),
    (1, 5, 3, 5, 1, 5, 3, 5),
    (8, 5, 3, 5, 8, 5, 3, 1),
    (5, 3, 1, 3, 5, 8, 5, 3),
    (1, 2, 3, 5, 3, 2, 1, 3),
    (3, 5, 8, 5, 3, 1, 3, 5),
)
"""Degrees of a bar's eight eighths; any four in a row hold the third, which tells major from minor."""


def mood_of(mode: str, tempo_bpm: int) -> str:
    """Return the mood of a mode at a tempo."""
    return next(mood for mood, (of_mode, tempos) in MOODS.items() if of_mode == mode and tempo_bpm in tempos)
