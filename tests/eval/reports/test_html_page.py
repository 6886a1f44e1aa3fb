"""The HTML page: scales, verdicts with failures first, provenance, and videos that play by themselves."""

import json
import re

import numpy as np
import pytest

from eval.core.intervals import Interval
from eval.core.manifest import Sample, read_manifest
from eval.core.results import FRACTION, Row, Score
from eval.core.video import write_video
from eval.reports.html_page import table_html, write_page
from eval.reports.interval_plots import axis_ticks
from eval.reports.samples import load_samples, read_results, select_failures_first

SCORES = {"bounce": {"subject": Score(1, FRACTION), "frozen": Score(-1, FRACTION), "speed": Score(0)}}


def record(name, **values):
    checks = [{"correct": False, "expected": "a red star", "found": "a red ring"}] * (
        not values.get("subject", 1)
    )
    return {
        "id": name,
        "system": "",
        "prompt": f"prompt {name}",
        "tags": [],
        "metric": "bounce",
        "values": values or None,
        "detail": {"checks": checks},
        "dropped": None if values else "no such file",
    }


def test_the_interval_stands_below_its_mean():
    row = Row(slice="all", system="", metric="niqe", num_samples=9, num_scored=9, intervals={
        "niqe": Interval(0.5, 0.25, 0.75, 9, 9, "t", skewed=True), "other": Interval(2, None, None, 1, 1, ""),
    })  # fmt: skip
    page = table_html([row], {})
    assert "<td><b>0.500</b><small>[0.250, 0.750]†, n=9</small></td>" in page
    assert "<td><b>2.000</b><small>n=1</small></td>" in page


@pytest.fixture
def folder(tmp_path):
    records = [record("ok", subject=1.0, frozen=0.25, speed=2.0), record("lost"), record("bad", subject=0.0)]
    records += [record(f"ok{i}", subject=1.0) for i in range(4)]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    write_video(tmp_path / "a.mp4", np.zeros((4, 16, 16, 3), np.uint8), 8)
    samples = [{"id": each["id"], "prompt": each["prompt"], "video": "a.mp4"} for each in records]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(each) + "\n" for each in samples))
    return tmp_path


def test_verdicts_are_the_zeros_and_ones_of_fractions(folder):
    found = {each.key[1]: each for each in read_results(folder / "results.jsonl", SCORES)}
    assert found["ok"].verdicts == {"subject": True}
    assert found["ok"].values == {"frozen": 0.25, "speed": 2.0}
    assert found["lost"].dropped == ["bounce: no such file"]
    assert [name for name, each in found.items() if each.failed] == ["lost", "bad"]


def test_failures_come_first_and_leave_room_for_others(folder):
    picked, text = select_failures_first(folder / "results.jsonl", SCORES, 2)
    assert [each.key[1] for each in picked] == ["lost", "ok"]
    assert text == "1 of 2 failed samples, 1 of 5 others"
    picked, _ = select_failures_first(folder / "results.jsonl", SCORES, 99)
    assert [each.key[1] for each in picked] == ["lost", "bad", "ok", "ok0", "ok1", "ok2", "ok3"]


def test_page(folder):
    (folder / "config.yaml").write_text("manifest: m.jsonl\n")
    run = {
        "time_utc": "2026-01-02T03:04:05+00:00",
        "argv": ["run.py", "out=a b"],
        "git_commit": "0123456789abcdef",
        "git_changed_files": [],
    }
    (folder / "provenance.json").write_text(json.dumps([{}, run]))
    intervals = {"subject": Interval(0.5, 0.4, 0.6, 3, 3, ""), "speed": Interval(3.0, 2.5, 4.5, 3, 3, "")}
    rows = [
        Row(slice=part, system="", metric="bounce", num_samples=7, num_scored=6, intervals=intervals)
        for part in ("all", "moving")
    ]
    picked, selection = select_failures_first(folder / "results.jsonl", SCORES, 9)
    samples = load_samples(read_manifest(folder / "m.jsonl"), {each.key for each in picked})
    assert all(isinstance(each, Sample) for each in samples.values())
    media = [(samples[each.key], each) for each in picked]
    summary = {"num_samples": 7, "dropped": []}
    write_page(folder / "report.html", rows, SCORES, summary, media, root=folder, selection=selection)
    text = (folder / "report.html").read_text()
    assert "2026-01-02 03:04 UTC" in text
    assert "<code>0123456789</code>" in text
    assert "python -m eval.run &#x27;out=a b&#x27;" in text
    assert "<pre>manifest: m.jsonl</pre>" in text
    assert "name=viewport" in text
    assert text.index("<b>lost</b>") < text.index("<b>bad</b>") < text.index("<b>ok</b>")
    assert "a red star → a red ring" in text
    assert text.count("<video autoplay loop muted playsinline") == 7
    assert not re.search(r"<svg[^>]* width=", text)
    subject, speed = (re.findall(r'class="tick"[^>]*>([^<]+)<', svg) for svg in text.split("<svg")[1:])
    assert subject == ["0", "20", "40", "60", "80", "100"]
    assert speed == ["2.5", "3", "3.5", "4", "4.5"]
    assert "http" not in re.sub(r"data:[^\"]+", "", text)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.2, 0.9), (-3, 7), (41, 41), (0, 0), (1234, 98765), (1e-6, 3e-6), (99.2, 100)]
)
def test_ticks_are_round_and_contain_the_range(low, high):
    ticks = axis_ticks(low, high)
    assert 3 <= len(ticks) <= 8
    assert ticks[0] <= low <= high <= ticks[-1]
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])
    assert f"{ticks[1] - ticks[0]:e}".lstrip()[0] in "125"
