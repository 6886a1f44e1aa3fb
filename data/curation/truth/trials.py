"""Trials: one constructed clip (or pair) is made, encoded, read back and put before one filter."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.curation.audio_events import RATE
from data.curation.clip_reader import read_clip, read_mono
from data.curation.config import DuplicatesConfig, ScoringConfig
from data.curation.near_duplicates import still_distance
from data.curation.scorer import score_audio, score_frames
from data.curation.truth import encoders
from data.curation.truth.audio_samples import AUDIO_MAKERS, SECONDS
from data.curation.truth.pairs import make_pair
from data.curation.truth.samples import FPS, MAKERS, camera_scene
from src.core.rng import numpy_generator

SETTING, SCORING = "setting", "scoring"  # groups of seeds and encoders
SEEDS = {SETTING: "setting", SCORING: "scoring 3"}  # a new scoring stream after filters or thresholds changed
LATER = dict.fromkeys(("scene_cuts", "camera"), "scoring 5")  # of what changed later than the rest
GROUPS = {
    "text": ("text",),
    "borders": ("borders",),
    "scene_cuts": ("cuts",),
    "motion": ("motion", "camera"),
    "jitter": ("cuts", "camera"),
    "static": ("motion",),
    "slideshow": ("camera",),
    "subject": ("subject",),
}
FILTERS = (*MAKERS, *AUDIO_MAKERS, "near_duplicates")


@dataclass(frozen=True)
class Trial:
    """A constructed clip: `reject` is the right answer of the filter; `label` of a camera trial."""

    filter: str
    group: str
    number: int
    reject: bool = False
    strength: float = 1.0
    label: str = ""

    @property
    def stream(self) -> str:
        seeds = LATER.get(self.filter, SEEDS[SCORING]) if self.group == SCORING else SEEDS[self.group]
        return f"truth/{seeds}/{self.filter}/{self.label or self.reject}/{self.strength:g}"


def run_trial(trial: Trial) -> dict[str, Any]:
    """Return the scores that the trial's filter reads."""
    rng = numpy_generator(trial.number, trial.stream)
    with tempfile.TemporaryDirectory() as folder:
        if trial.filter in AUDIO_MAKERS:
            return _run_audio(trial, rng, Path(folder))
        if trial.filter == "near_duplicates":
            return _run_pair(trial, rng, Path(folder))
        frames = (
            camera_scene(rng, trial.label, trial.strength)
            if trial.label
            else MAKERS[trial.filter](rng, trial.reject, trial.strength)
        )
        config = ScoringConfig(groups=GROUPS.get(trial.filter, ("camera",)))
        return score_frames(_round_trip(trial, frames, Path(folder), config), config)


def _round_trip(trial: Trial, frames_THWC: np.ndarray, folder: Path, config: ScoringConfig) -> Any:
    names = encoders.SETTING if trial.group == SETTING else encoders.SCORING
    encoder = names[trial.number % len(names)]
    path = encoders.encode(folder, "clip", frames_THWC, FPS, encoder)
    return read_clip(path, 0.0, len(frames_THWC) / FPS, encoders.rate_of(encoder, FPS), config)


def _run_audio(trial: Trial, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    names = encoders.AUDIO_SETTING if trial.group == SETTING else encoders.AUDIO_SCORING
    samples = AUDIO_MAKERS[trial.filter](rng, trial.reject, trial.strength, trial.group)
    path = encoders.encode_audio(folder, "audio", samples, RATE, names[trial.number % len(names)])
    return score_audio(read_mono(path, 0.0, SECONDS))


def _run_pair(trial: Trial, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    config = ScoringConfig(groups=("fingerprint",))
    rows = []
    for number, frames in enumerate(make_pair(rng, trial.reject, trial.strength)):
        other = Trial(trial.filter, trial.group, trial.number + number)  # another encoder
        rows.append(score_frames(_round_trip(other, frames, folder, config), config))
    cosine = float(np.dot(rows[0]["embedding"], rows[1]["embedding"]))
    return {"cosine": cosine, "bits": still_distance(*rows)}


def are_duplicates(scores: dict[str, Any], config: DuplicatesConfig) -> bool:
    """Return the decision of the step `near_duplicates` on a pair."""
    return scores["cosine"] >= config.cosine and scores["bits"] <= config.max_bits
