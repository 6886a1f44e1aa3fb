"""The game checker as a metric of `eval.run`: shots and sides of the audio against the facts of a clip."""

from typing import Any

import numpy as np

from eval.alignment.onsets import match_onsets
from eval.core.results import FRACTION, Item, Measurement, Score
from eval.vizdoom_checker.shots import MIN_STEPS, Shot, find_shots
from eval.vizdoom_checker.sides import check_sides
from eval.vizdoom_checker.spectrum import HOP_S
from eval.vizdoom_checker.templates import Templates, read_templates
from src.core.media_io.audio import Audio

VERSION = "vizdoom-checker-1"
TOLERANCE_S = 0.04


class VizdoomAudioMetric:
    """Score audio of game clips."""

    name = "vizdoom_audio"
    scores = {
        "shot_precision": Score(1, FRACTION, "recognized shots near one of the player's, pooled"),
        "shot_recall": Score(1, FRACTION, "the player's shots near a recognized one, pooled"),
        "shot_f1": Score(1, FRACTION, "2 matches / (recognized + expected) at 40 ms, pooled"),
        "shot_weapon": Score(1, FRACTION, "weapon correct of the matched shots, pooled"),
        "shot_false": Score(-1, "", "recognized shots of clips without one"),
        "audio_side": Score(1, FRACTION, "sources over 20 degrees off axis on the correct side, pooled"),
    }

    def __init__(self) -> None:
        self.templates = read_templates()

    def describe(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "backbone": None,
            "truth": "events of the clip's facts",
            "tolerance_s": TOLERANCE_S,
            "thresholds": self.templates.thresholds,
            "preprocessing": "24 kHz, 32 mel bands; shots from the mean of channels",
            "numpy": np.__version__,
        }

    def measure(self, item: Item) -> Measurement:
        facts = item.sample.facts
        if facts is None or "events" not in facts:
            raise ValueError("sample has no `facts` with events of a game clip")
        return score_audio(item.audio, facts, self.templates)


def score_audio(
    audio: Audio, facts: dict[str, Any], templates: Templates, tolerance_s: float = TOLERANCE_S
) -> Measurement:
    """Return the scores of a clip's audio, without undefined ones (recall without shots)."""
    return score_shots(find_shots(audio, templates), check_sides(audio, facts), facts, tolerance_s)


def score_shots(
    found: list[Shot], sides: list[dict[str, Any]], facts: dict[str, Any], tolerance_s: float = TOLERANCE_S
) -> Measurement:
    """Return the scores of recognized shots and sides; shots right at the end of a clip are left out."""
    last_s = facts["num_frames"] / facts["fps"] - MIN_STEPS * HOP_S
    expected = [event for event in facts["events"] if event["kind"] == "shot" and event["time_s"] <= last_s]
    found_s = np.array([shot.time_s for shot in found])
    expected_s = np.array([event["time_s"] for event in expected])
    pairs = match_onsets(found_s, expected_s, tolerance_s)
    num_right = float(sum(each["found"] == each["expected"] for each in sides))
    matched = float(len(pairs))
    correct = float(sum(found[i].weapon == expected[j]["name"] for i, j in pairs))
    pooled = {
        "shot_precision": (matched, float(len(found))),
        "shot_recall": (matched, float(len(expected))),
        "shot_f1": (2 * matched, float(len(found) + len(expected))),
        "shot_weapon": (correct, matched),
        "audio_side": (num_right, float(len(sides))),
    }
    values = {name: top / bottom for name, (top, bottom) in pooled.items() if bottom}
    if not expected:
        values["shot_false"] = float(len(found))
    detail = {
        "lags_s": [round(float(found_s[i] - expected_s[j]), 4) for i, j in pairs],
        "shots": [[shot.time_s, shot.weapon, shot.similarity] for shot in found],
        "expected_shots": [[event["time_s"], event["name"]] for event in expected],
        "sides": sides,
    }
    return Measurement(values, detail, pooled)
