"""Compare a reading of audio with the facts of its video: impact by impact, ambience and music.

Objects are compared as sets: two of one material and size cannot be told from one that rings louder.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from eval.alignment.onsets import match_onsets, merge_close_times
from eval.bounce_checker.audio_reading import AudioReading
from eval.bounce_checker.config import AudioCheckerConfig

GAPS_S = (0.1, 0.3, 1.0)  # bounds of the table's rows
MUSIC_FIELDS = ("instrument", "tempo_bpm", "key", "mood")
TWO = "two objects"
NO_OTHER_S = 1e3  # gap of an impact without another


@dataclass(frozen=True)
class ImpactTrial:
    """One impact of the facts. `lag_s` is None where no hit is within the tolerance."""

    kind: str  # its material, or TWO
    gap_s: float  # to the nearest other impact
    lag_s: float | None
    material_right: bool = False
    size_right: bool = False


@dataclass(frozen=True)
class AudioTrial:
    """One track. `music` holds 1 or 0 for each of MUSIC_FIELDS where the facts have music."""

    background: str
    impacts: tuple[ImpactTrial, ...]
    num_hits: int
    num_matched: int
    num_matched_finely: int
    background_right: bool | None
    objects: dict[str, float] = field(default_factory=dict)  # of the whole track: material, size
    music: dict[str, float] = field(default_factory=dict)


def parts_of(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return what is heard: a video's facts without `audio` mean impacts over ambience."""
    return tuple(facts["audio"]["parts"]) if facts.get("audio") else ("impacts", "ambience")


def heard_impacts(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the impacts that are heard in order of time."""
    impacts = facts["impacts"] if "impacts" in parts_of(facts) else []
    return sorted(impacts, key=lambda impact: impact["time_s"])


def distinct_impacts(facts: dict[str, Any]) -> list[tuple[float, tuple[str, ...]]]:
    """Return time and materials (sorted) of heard impacts; those close after a kept one are left out."""
    found = heard_impacts(facts)
    kept = set(merge_close_times(np.array([impact["time_s"] for impact in found], float)).tolist())
    return [
        (impact["time_s"], tuple(sorted(facts["objects"][i]["material"] for i in impact["objects"])))
        for impact in found
        if impact["time_s"] in kept
    ]


def score_audio(reading: AudioReading, facts: dict[str, Any], settings: AudioCheckerConfig) -> AudioTrial:
    """Compare a reading with facts."""
    impacts = heard_impacts(facts)
    expected = np.array([impact["time_s"] for impact in impacts], float)
    detected = np.array([hit.time_s for hit in reading.hits], float)
    pairs = match_onsets(detected, expected, settings.tolerance_s)
    hits = {j: reading.hits[i] for i, j in pairs}
    trials = []
    for j, impact in enumerate(impacts):
        objects = {(facts["objects"][i]["material"], facts["objects"][i]["size"]) for i in impact["objects"]}
        others = np.abs(np.delete(expected, j) - expected[j])
        kind = TWO if len(impact["objects"]) > 1 else next(iter(objects))[0]
        gap_s = float(others.min(initial=NO_OTHER_S))
        if (hit := hits.get(j)) is None:
            trials.append(ImpactTrial(kind, gap_s, None))
            continue
        heard = set(zip(hit.materials, hit.sizes, strict=True))
        material_right = {name for name, _ in heard} == {name for name, _ in objects}
        lag_s = hit.time_s - impact["time_s"]
        trials.append(ImpactTrial(kind, gap_s, lag_s, material_right, heard == objects))
    return AudioTrial(
        background=facts["background"],
        impacts=tuple(trials),
        num_hits=len(detected),
        num_matched=len(pairs),
        num_matched_finely=len(match_onsets(detected, expected, settings.fine_tolerance_s)),
        background_right=(
            reading.background == facts["background"] if "ambience" in parts_of(facts) else None
        ),
        objects=_score_objects(reading, facts),
        music=_score_music(reading, facts),
    )


def _score_objects(reading: AudioReading, facts: dict[str, Any]) -> dict[str, float]:
    """Compare the objects that make up at least a fifth of the hits with those that the facts let sound."""
    heard = {i for impact in heard_impacts(facts) for i in impact["objects"]}
    expected = {(facts["objects"][i]["material"], facts["objects"][i]["size"]) for i in heard}
    if not expected:
        return {}
    counts = Counter(each for hit in reading.hits for each in set(zip(hit.materials, hit.sizes, strict=True)))
    found = {each for each, count in counts.items() if count >= 0.2 * len(reading.hits)}
    return {
        "material": float({name for name, _ in found} == {name for name, _ in expected}),
        "size": float(found == expected),
    }


def _score_music(reading: AudioReading, facts: dict[str, Any]) -> dict[str, float]:
    music = (facts.get("audio") or {}).get("music")
    if not music:
        return {}
    found = reading.music
    return {
        name: float(found is not None and getattr(found.music, name) == music[name]) for name in MUSIC_FIELDS
    }


def expected_materials(facts: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the materials of each impact in order of time; impacts within 50 ms of another are merged."""
    found = heard_impacts(facts)
    kept = set(merge_close_times(np.array([impact["time_s"] for impact in found])).tolist())
    return [
        tuple(sorted(facts["objects"][i]["material"] for i in impact["objects"]))
        for impact in found
        if impact["time_s"] in kept
    ]
