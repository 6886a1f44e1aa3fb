"""The shipped funnels: Movie Gen's thresholds and order, and steps that exist."""

from pathlib import Path

import pytest

from data.curation.config import CurationConfig
from src.core import config

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "curation"


def load(name: str) -> CurationConfig:
    return config.load(CurationConfig, FOLDER / f"{name}.yaml", ["path=pool", "out=out"])


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_a_funnel_resolves(name: str) -> None:
    assert load(name).order


def test_the_paper_s_thresholds() -> None:
    steps = load("movie_gen").steps
    bounds = {
        name: {score: (r.min, r.max) for score, r in step.ranges.items()} for name, step in steps.items()
    }
    assert bounds["duration"] == {"duration_s": (4, 120)}
    assert bounds["resolution"] == {"width": (768, None), "height": (768, None)}
    assert bounds["aspect"] == {"aspect": (1, None)}
    assert bounds["text"] == {"text_score": (None, 0.6)}
    assert bounds["aesthetics"] == {"aesthetic_score": (4, None)}
    assert bounds["motion"] == {"vmaf_motion": (2, None), "motion_vectors": (0.5, 7)}
    assert bounds["jitter"]["shots_per_second"] == (None, 0.85)
    assert load("movie_gen").order[:9] == (
        "duration",
        "resolution",
        "aspect",
        "text",
        "borders",
        "scene_cuts",
        "aesthetics",
        "motion",
        "jitter",
    )
    assert load("movie_gen").order[-2:] == ("near_duplicates", "resample")
