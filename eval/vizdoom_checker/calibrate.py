"""Make the weapons' templates from recordings with known shots.

    python -m eval.vizdoom_checker.calibrate manifest=runs/vizdoom_tiny/train/manifest.jsonl

The manifest is of data.vizdoom.export on a training split. A template is the mean over isolated shots; the
threshold of a weapon is the one with the best F1 on these recordings.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.audio import read_audio
from eval.core.manifest import read_manifest
from eval.vizdoom_checker.metric import score_shots
from eval.vizdoom_checker.shots import Shot, beginnings, find_shots
from eval.vizdoom_checker.spectrum import HOP_S, mel_magnitudes
from eval.vizdoom_checker.templates import PATH, Templates
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

THRESHOLDS = tuple(round(0.4 + 0.025 * i, 3) for i in range(23))
ISOLATED_BEFORE_S, ISOLATED_AFTER_S = 0.3, 0.15


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig(Config):
    """Settings of `eval.vizdoom_checker.calibrate`."""

    manifest: str = opt("", "manifest of recordings with facts; never those that are scored later")
    out: str = opt(str(PATH), "file of templates to write")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.manifest:
            raise ValueError("manifest must be given: that of data.vizdoom.export on a training split")


def calibrate(config: CalibrateConfig) -> Templates:
    """Return the templates, each with its best threshold."""
    root = Path(config.manifest).parent
    clips = [
        (read_audio(root / s.audio), s.facts) for s in read_manifest(config.manifest) if s.audio and s.facts
    ]
    examples = defaultdict(list)
    for audio, facts in clips:
        rises_TKF = beginnings(mel_magnitudes(audio.mixdown(1))[0])[1]
        times = [event["time_s"] for event in facts["events"]]
        for event in facts["events"]:
            step = round(event["time_s"] / HOP_S)
            near = [-ISOLATED_BEFORE_S < time - event["time_s"] < ISOLATED_AFTER_S for time in times]
            if event["kind"] == "shot" and sum(near) == 1 and step + rises_TKF.shape[1] <= len(rises_TKF):
                examples[event["name"]].append(rises_TKF[step])
    if not examples:
        raise UserError(f"{config.manifest}: no isolated shot in {len(clips)} clips with audio and facts")
    magnitudes = {name: np.mean(each, axis=0) for name, each in sorted(examples.items())}
    print({name: len(each) for name, each in sorted(examples.items())}, "isolated shots")
    thresholds = {}
    for name, template in magnitudes.items():
        alone = Templates({name: template}, {name: THRESHOLDS[0]})
        shots = [find_shots(audio, alone) for audio, _ in clips]
        facts_of_weapon = [_with_shots_of(facts, name) for _, facts in clips]
        scores = {value: _f1(shots, facts_of_weapon, value) for value in THRESHOLDS}
        chosen = [value for value, f1 in scores.items() if f1 >= max(scores.values()) - 0.002]
        thresholds[name] = chosen[len(chosen) // 2]
        print(f"{name}: F1 by threshold { ({value: round(f1, 3) for value, f1 in scores.items()}) }")
    return Templates(magnitudes, thresholds)


def _with_shots_of(facts: dict[str, Any], weapon: str) -> dict[str, Any]:
    kept = [e for e in facts["events"] if e["kind"] != "shot" or e["name"] == weapon]
    return facts | {"events": kept}


def _f1(shots: list[list[Shot]], facts_of_clips: list[dict[str, Any]], threshold: float) -> float:
    """Return the F1 of shots at least as similar as a threshold."""
    pooled = [
        score_shots([shot for shot in found if shot.similarity >= threshold], [], facts).pooled["shot_f1"]
        for found, facts in zip(shots, facts_of_clips, strict=True)
    ]
    top, bottom = np.sum(pooled, axis=0)
    return float(top / max(bottom, 1))


def main(argv: list[str]) -> None:
    """Write the templates."""
    config = from_command_line(CalibrateConfig, argv, __doc__)
    if config is not None:
        calibrate(config).write(Path(config.out))


if __name__ == "__main__":
    sys.exit(run_command(main))
