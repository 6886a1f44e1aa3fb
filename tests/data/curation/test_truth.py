"""A small sample of the constructed clips in the suite, all of them in `make test-long`."""

import json
import re
from pathlib import Path

import pytest

from data.curation import validate
from data.curation.truth.samples import FPS, MAKERS, NUM_FRAMES, make_scene
from data.curation.truth.trajectories import make_camera
from data.curation.truth.trials import FILTERS, SCORING, Trial, run_trial
from src.core import cli
from src.core.rng import numpy_generator

GOAL = 0.95
ROOT = Path(__file__).resolve().parents[3]


def test_a_trial_is_a_function_of_its_key() -> None:
    trial = Trial("borders", SCORING, 5, True)
    assert run_trial(trial) == run_trial(trial)
    assert run_trial(trial) != run_trial(Trial("borders", SCORING, 6, True))


def test_an_endless_background_fills_the_view_of_the_fastest_pan() -> None:
    for is_endless in (False, True):
        rng = numpy_generator(2, "test/endless")
        camera = make_camera(rng, "pan right", NUM_FRAMES, FPS, 9.0)
        frames = make_scene(rng, camera, num_objects=0, noise=0, is_endless=is_endless)
        assert (frames[-1] == 0).all(-1).any() != is_endless


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_a_borderline_subject_can_be_constructed(strength: float) -> None:
    assert MAKERS["subject"](numpy_generator(1, "test/borderline"), True, strength).ndim == 4


def measure(out: Path, *overrides: str) -> dict[str, list[str]]:
    words = [f"out={out}", f"config={ROOT}/configs/curation/finetuning.yaml", *overrides]
    assert cli.run(validate.main, words) == 0
    rows = re.findall(r"^\| (\w+) \| (.+) \|$", (out / "table.md").read_text(), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in rows[1:]}


def test_filters_are_right_on_a_small_sample(tmp_path: Path) -> None:
    chosen = "[borders,scene_cuts,static,slideshow]"
    rows = measure(tmp_path, f"filters={chosen}", "num=2", "num_borderline=0", "num_workers=0")
    assert set(rows) == {"borders", "scene_cuts", "static", "slideshow"}
    assert all(cells[2:4] == ["1.000", "1.000"] for cells in rows.values()), rows
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert len(lines) == 16
    (tmp_path / "trials.jsonl").write_text("\n".join(lines[:-1]) + '\n{"trial": {')
    again = measure(tmp_path, f"filters={chosen}", "num=2", "num_borderline=0", "num_workers=0")
    assert again == rows
    assert json.loads(lines[0])["trial"]["group"] == "scoring"


@pytest.mark.long
def test_precision_and_recall_of_every_filter(tmp_path: Path) -> None:
    rows = measure(tmp_path, "num_borderline=0", "num_labels=10")
    assert set(rows) >= set(FILTERS)
    for name in FILTERS:
        precision, recall = (float(cell) for cell in rows[name][2:4])
        assert min(precision, recall) >= GOAL, (name, rows[name])
