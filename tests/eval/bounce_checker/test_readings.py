"""Recorded readings of the checkers in fixed videos and audio: scores of one version are comparable.

Who changes a reading changes VERSION as well, and records them again:

    python -m tests.eval.bounce_checker.test_readings
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from data.bounce.audio import render_audio
from data.bounce.audio_config import AudioContentConfig
from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker import audio, checker
from eval.bounce_checker.audio_spectra import SAMPLE_RATE
from eval.bounce_checker.validate_audio import draw_facts
from eval.core.audio import Audio

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "bounce_readings.json"
WORLD = WorldConfig(max_objects=2, spin_prob=0.25, holdout="include", split="all")
VIDEOS = (4, 12, 15, 16)
TRACKS = [(2, ("impacts", "ambience")), (3, ("impacts", "ambience", "music"))]


def read_video(seed: int) -> dict[str, Any]:
    video = make_video(seed, WORLD, num_frames=16, height=48, width=64, fps=16).video_THWC
    return checker.analyze_video(video, 16).to_dict()


def read_audio(seed: int, parts: tuple[str, ...]) -> dict[str, Any]:
    samples = render_audio(draw_facts(seed, 2.0, AudioContentConfig(parts=parts, min_impacts=2)))
    return asdict(audio.analyze_audio(Audio(samples, SAMPLE_RATE)))


def readings() -> dict[str, Any]:
    return {
        checker.VERSION: [read_video(seed) for seed in VIDEOS],
        audio.VERSION: [read_audio(*track) for track in TRACKS],
    }


def assert_near(found: Any, expected: Any) -> None:
    """Compare nested values: numbers to the rounding of other CPUs, everything else exactly."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_near(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_near(*pair)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    else:
        assert found == expected


def test_readings_of_a_version_do_not_change() -> None:
    assert_near(readings(), json.loads(GOLDEN.read_text(encoding="utf-8")))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(readings(), indent=1) + "\n", encoding="utf-8")
