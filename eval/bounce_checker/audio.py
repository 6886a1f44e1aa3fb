"""Score the audio of Bounce videos against their facts.

    reading = analyze_audio(audio)             # from the samples alone
    values = evaluate_audio(reading, facts)    # facts: the video's ground truth as plain JSON

No network is used. `audio_impacts` finds impacts and the objects that rang, `audio_ambience` the background,
`audio_music` the music.
"""

from collections import Counter
from dataclasses import asdict
from typing import Any

from eval.bounce_checker.audio_reading import AudioReading, analyze_audio
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.bounce_checker.audio_trials import AudioTrial, expected_materials, score_audio
from eval.bounce_checker.config import AudioCheckerConfig
from eval.core.results import FRACTION, Item, Measurement, Score

__all__ = [
    "SAMPLE_RATE",
    "AudioReading",
    "BounceAudioMetric",
    "analyze_audio",
    "evaluate_audio",
    "expected_materials",
]

VERSION = "bounce-audio-4"
DEFAULTS = AudioCheckerConfig()


def evaluate_audio(reading: AudioReading, facts: dict[str, Any]) -> dict[str, float]:
    """Compare the recognized content with the facts, except timing.

    - audio_hits: 1 if the number of hits equals the number of impacts (those within 50 ms count as one).
    - audio_materials: F1 of the materials over all hits; absent where neither side has a hit.
    - audio_background: 1 if the ambience is that of the background.
    """
    expected = expected_materials(facts)
    values = {"audio_hits": float(len(reading.hits) == len(expected))}
    a, b = (
        Counter(name for hit in each for name in set(hit))
        for each in (expected, [hit.materials for hit in reading.hits])
    )
    if total := sum(a.values()) + sum(b.values()):
        values["audio_materials"] = 2 * sum((a & b).values()) / total
    return values | {"audio_background": float(reading.background == facts["background"])}


def pooled_scores(
    trial: AudioTrial, settings: AudioCheckerConfig = DEFAULTS
) -> dict[str, tuple[float, float]]:
    """Return numerators and denominators of the scores that are pooled over tracks.

    Objects count at impacts that were hit and are not closer than `close_s` to another.
    """
    hit = [each for each in trial.impacts if each.lag_s is not None]
    clear = [each for each in hit if each.gap_s >= settings.close_s]
    expected, detected, matched = len(trial.impacts), trial.num_hits, trial.num_matched
    return {
        "hit_precision": (matched, detected),
        "hit_recall": (matched, expected),
        "hit_f1": (2 * matched, expected + detected),
        "hit_f1_fine": (2 * trial.num_matched_finely, expected + detected),
        "hit_lag": (sum(abs(each.lag_s or 0.0) for each in hit), len(hit)),
        "hit_material": (sum(each.material_right for each in clear), len(clear)),
        "hit_size": (sum(each.size_right for each in clear), len(clear)),
        "false_hits": (0.0 if expected else detected, 0.0 if expected else 1.0),
        **{f"text_{name}": (value, 1.0) for name, value in trial.objects.items()},
        **{f"music_{name}": (value, 1.0) for name, value in trial.music.items()},
    }


class BounceAudioMetric:
    """Score the audio of Bounce videos against their facts: impacts, objects, background, music."""

    name = "bounce_audio"
    scores = {
        "audio_hits": Score(1, FRACTION, "number of hits equals the number of impacts"),
        "audio_materials": Score(1, FRACTION, "F1 of the materials over all hits"),
        "audio_background": Score(1, FRACTION, "ambience of the correct background"),
        "hit_precision": Score(1, FRACTION, "hits near an impact, pooled"),
        "hit_recall": Score(1, FRACTION, "impacts near a hit, pooled"),
        "hit_f1": Score(1, FRACTION, "2 matches / (hits + impacts), pooled"),
        "hit_f1_fine": Score(1, FRACTION, "the same at the finer tolerance, pooled"),
        "hit_lag": Score(-1, "s", "absolute distance of the matched pairs, pooled"),
        "hit_material": Score(1, FRACTION, "right materials at matched impacts that are not close, pooled"),
        "hit_size": Score(1, FRACTION, "right materials and sizes there, pooled"),
        "false_hits": Score(-1, "", "hits of a track without impacts, mean"),
        "text_material": Score(1, FRACTION, "materials of the whole track are those of the facts"),
        "text_size": Score(1, FRACTION, "materials and sizes of the whole track are those of the facts"),
        "music_instrument": Score(1, FRACTION, "instrument of the music"),
        "music_tempo_bpm": Score(1, FRACTION, "tempo of the music"),
        "music_key": Score(1, FRACTION, "key of the music"),
        "music_mood": Score(1, FRACTION, "mood of the music"),
    }

    def __init__(self, settings: AudioCheckerConfig = DEFAULTS) -> None:
        self.settings = settings

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "preprocessing": f"mean of channels, {SAMPLE_RATE} Hz (resample_poly)",
            "truth": "times, materials and sizes of the video's impacts, background, music",
            "settings": asdict(self.settings),
        }

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or not {"impacts", "objects", "background"} <= facts.keys():
            raise ValueError("sample has no `facts` with impacts, objects and background")
        reading = analyze_audio(item.audio)
        trial = score_audio(reading, facts, self.settings)
        pooled = pooled_scores(trial, self.settings)
        values = evaluate_audio(reading, facts)
        values |= {name: top / bottom for name, (top, bottom) in pooled.items() if bottom}
        detail = {
            "expected": [list(materials) for materials in expected_materials(facts)],
            "reading": asdict(reading),
            "trial": asdict(trial),
        }
        return Measurement(values, detail, pooled)
