"""The benchmark of the reader: equal frames of all libraries, every task, and the table."""

import json
from pathlib import Path

import pytest

from benchmarks import media


def test_libraries_are_compared_at_equal_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "media.json"
    settings = ["sizes=[96x64]", "seconds=1", "size=32", "num_clips=2", "clip_frames=4", "repeats=1"]
    media.main([f"out={out}", "threads=[1]", *settings])
    cases = json.loads(out.read_text(encoding="utf-8"))["cases"]
    libraries = {case.split("/")[-1] for case in cases}  # the others may not be installed
    assert "media_io" in libraries <= set(media.LIBRARIES)
    assert set(cases) == {f"96x64/{task}/1/{name}" for task in media.TASKS for name in libraries}
    for name, numbers in cases.items():
        assert numbers["seconds_per_100_frames"] > 0
        assert numbers["max_difference"] == 0 or "decord" in name, name
    assert "| 96x64 | clips | 1 | media_io |" in capsys.readouterr().out
