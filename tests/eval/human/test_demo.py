"""The demonstration: two systems from the committed weights, through real pages, to the report."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from eval.human.__main__ import main
from eval.human.demo.clips import write_clips
from src.core.errors import UserError


@pytest.mark.services
def test_the_demonstration_compares_two_systems_of_the_weights(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="not in requirements/human.lock")
    axes = "axes=[text_motion,image_quality,visual_rating]"
    main(["demo", f"out={tmp_path}", "num_prompts=1", "num_browsers=1", axes])
    report = tmp_path / "study" / "report"
    with (report / "preferences.csv").open(encoding="utf-8") as file:
        votes = {(row["axis"], row["system_a"], row["system_b"]) for row in csv.DictReader(file)}
    assert votes == {(axis, "steps_25", "steps_4") for axis in ("text_motion", "image_quality")}
    page = (report / "report.html").read_text(encoding="utf-8")
    assert page.count("<video") == page.count("<img") == 2
    assert all((tmp_path / f"{name}.png").stat().st_size > 10_000 for name in ("report", "report_clips"))
    with pytest.raises(UserError, match="has a study with votes"):
        main(["demo", f"out={tmp_path}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights=nothing.safetensors"], "weights: no such file: nothing.safetensors; empty draws clips"),
        (["num_prompts=99"], "there are 8 prompts, got 99"),
        (["weights=", "num_prompts=99"], "there are 6 drawn clips, got 99"),
        (["a=somewhere"], "name both folders"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        main(["demo", f"out={tmp_path}", *arguments])


def test_drawn_clips_have_audio_and_prompts(tmp_path: Path) -> None:
    folders = write_clips(tmp_path, num_prompts=1, seconds=0.5)
    assert list(folders) == ["smooth", "jerky"]
    for folder in folders.values():
        assert sorted(path.name for path in Path(folder).iterdir()) == ["000.mp4", "000.txt"]


def test_without_playwright_the_demonstration_is_refused_in_one_line() -> None:
    code = (
        "import sys; sys.modules['playwright'] = None; "
        "import eval.human.demo.screenshots as demo; demo.open_chromium().__enter__()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "UserError: playwright: not installed" in done.stderr.splitlines()[-1]
