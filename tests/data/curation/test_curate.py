"""`python -m data.curate` from the pool to what is kept: resumable, parallel, thresholds without decoding."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from data import curate
from data.curation import pool, workers
from data.curation.store import ScoreStore
from data.curation.truth.encoders import encode
from src.core import cli
from tests.fixtures.curation import moving_square, noise_image

FPS = 16.0
CONFIG = """
order: [duration, borders, static, near_duplicates, resample]
steps:
  duration: {ranges: {duration_s: {min: 0.9}}}
  borders: {ranges: {border_fraction: {max: 0.02}}}
  static: {ranges: {changed_fraction: {min: 0.004}}}
resample: {keep_fraction: 1.0}
scoring: {groups: [borders, cuts, motion, camera, fingerprint, subject, audio]}
camera: {min_confidence: 0.2}  # of small frames that a square crosses
unit_size: 1
examples: 2
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good clips by several encoders, and one clip for each filter."""
    root = tmp_path_factory.mktemp("pool")
    for number, encoder in enumerate(("x264-18", "vp9", "mpeg4")):
        encode(root, f"good{number}", moving_square(16, 3, seed=10 * number), FPS, encoder)
        (root / f"good{number}.txt").write_text(f"A square, number {number}, moves.\n")
    smaller = np.stack([cv2.resize(frame, (96, 96)) for frame in moving_square(16, 3, seed=10)])
    encode(root, "copy", smaller, FPS, "x264-28")
    encode(root, "short", moving_square(8, 3), FPS, "x264-18")
    encode(root, "still", noise_image(128, 128)[None].repeat(16, 0), FPS, "x264-28")
    framed = moving_square(16, 3, seed=3)
    framed[:, :14] = framed[:, -14:] = 0
    encode(root, "framed", framed, FPS, "mpeg2")
    (root / "broken.mp4").write_bytes((root / "good0.mp4").read_bytes()[:600])
    (root / "notes.pdf").write_bytes(b"no video")
    return root


def run(videos: Path, out: Path, *overrides: str) -> int:
    config = out.parent / "funnel.yaml"
    config.write_text(CONFIG)
    words = [str(config), f"path={videos}", f"out={out}", "num_workers=0", *overrides]
    return cli.run(curate.main, words)


def decisions(out: Path) -> dict[str, str]:
    return {row["id"]: row["step"] for row in pq.read_table(out / "decisions.parquet").to_pylist()}


EXPECTED = {
    "good0.mp4": "",
    "good1.webm": "",
    "good2.mp4": "",
    "copy.mp4": "near_duplicates",
    "short.mp4": "duration",
    "still.mp4": "static",
    "framed.mpg": "borders",
    "broken.mp4": "readable",
    "notes.pdf": "readable",
}


@pytest.fixture(scope="module")
def curated(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    assert run(videos, out) == 0
    return out


def test_each_clip_is_kept_or_rejected_by_its_step(curated: Path) -> None:
    assert decisions(curated) == EXPECTED
    counts = json.loads((curated / "funnel.json").read_text())
    assert [(c["name"], c["num_in"] - c["num_out"]) for c in counts] == [
        ("readable", 2),
        ("duration", 1),
        ("borders", 1),
        ("static", 1),
        ("near_duplicates", 1),
        ("resample", 0),
    ]


def test_kept_clips_have_camera_label_and_caption(curated: Path) -> None:
    entries = [json.loads(line) for line in (curated / "kept.jsonl").read_text().splitlines()]
    assert [each["path"] for each in entries] == ["good0.mp4", "good1.webm", "good2.mp4"]
    assert all(each["end"] == pytest.approx(1.0, abs=0.05) for each in entries)
    assert entries[1]["caption"] == ["Static shot. A square, number 1, moves."]


def test_the_report_shows_kept_and_rejected_clips_of_each_step(curated: Path) -> None:
    page = (curated / "report.html").read_text()
    for step in ("readable", "duration", "borders", "static", "near_duplicates"):
        assert f"<h2>{step}</h2>" in page
    assert "near duplicate of good1.webm" in page
    assert page.count("data:image/jpeg;base64") > 6
    assert (curated / "funnel.png").read_bytes().startswith(b"\x89PNG")


def test_thresholds_change_without_decoding(
    videos: Path, curated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file was opened")

    out = tmp_path / "out"
    out.mkdir()
    (out / "scores").symlink_to(curated / "scores")
    monkeypatch.setattr(av, "open", refuse)
    assert run(videos, out, "steps.borders.ranges.border_fraction.max=0.3") == 0
    assert decisions(out) == EXPECTED | {"framed.mpg": ""}
    with pytest.raises(AssertionError, match="a file was opened"):
        run(videos, out, "scoring.size=96")


def test_a_changed_file_is_scored_again(videos: Path, curated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored = []
    original = workers.score_job
    monkeypatch.setattr(workers, "score_job", lambda *a: scored.append(a[1].clip.id) or original(*a))
    status = (videos / "short.mp4").stat()
    os.utime(videos / "short.mp4", ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    assert run(videos, curated) == 0
    os.utime(videos / "short.mp4", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert scored == ["short.mp4"]


def test_only_what_the_header_lets_pass_is_decoded(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    original = workers.score_clip
    monkeypatch.setattr(workers, "score_clip", lambda *a: decoded.append(a[1].id) or original(*a))
    assert run(videos, tmp_path / "out", "decode=passing") == 0
    assert "short.mp4" not in decoded
    assert len(decoded) == 6
    assert decisions(tmp_path / "out") == EXPECTED


@pytest.mark.slow
def test_kill_9_and_two_processes_give_the_same_scores(videos: Path, curated: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", tmp_path / "funnel.yaml"
    config.write_text(CONFIG)
    words = [str(config), f"path={videos}", f"out={out}", "num_workers=2"]
    with subprocess.Popen([sys.executable, "-m", "data.curate", *words]) as process:
        while not list((out / "scores").glob("*.parquet")) and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    before = len(list((out / "scores").glob("*.parquet")))
    assert before > 0
    subprocess.run([sys.executable, "-m", "data.curate", *words], check=True, capture_output=True)
    keys = ScoreStore(curated / "scores").keys()
    one, two = (ScoreStore(folder / "scores").read(keys) for folder in (curated, out))
    assert len(two) == len(EXPECTED) - 1  # what is no video has no row
    for key, row in two.items():
        for name, value in row.items():
            if isinstance(value, float | np.ndarray):  # threads may sum in another order
                np.testing.assert_allclose(value, one[key][name], rtol=1e-3, atol=1e-4, err_msg=name)
            else:
                assert value == one[key][name], name
    assert decisions(out) == EXPECTED


def test_what_is_kept_can_be_prepared(videos: Path, curated: Path, tmp_path: Path) -> None:
    from data import prepare
    from src.streaming.reader import Dataset

    words = [f"out={tmp_path / 'set'}", "source=files", f"files.path={curated / 'kept.jsonl'}"]
    words += [f"files.root={videos}", "files.clip.size=64", "files.clip.lengths=[8]", "num_workers=0"]
    assert cli.run(prepare.main, words) == 0
    assert Dataset(tmp_path / "set" / "train").info.records == 6


def test_videos_are_split_into_scenes_and_thresholds_change_without_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "pool"
    root.mkdir()
    scenes = [moving_square(length, 3, seed=20 * k) for k, length in enumerate((24, 40, 12))]
    encode(root, "three", np.concatenate(scenes), FPS, "x264-18")
    words = ["split.enabled=true", "split.min_s=1", "split.max_s=2", "split.max_clips=0"]
    assert run(root, tmp_path / "out", *words) == 0
    rows = pq.read_table(tmp_path / "out" / "decisions.parquet").to_pylist()
    found = sorted((row["start_s"], row["end_s"]) for row in rows)
    assert found[0] == (0.0, 1.5)
    assert 1.5 <= found[1][0] <= 2.0
    assert found[1][1] - found[1][0] == pytest.approx(2.0)
    assert len(found) == 2
    monkeypatch.setattr(pool, "measure_content", None)  # would be called if content was not stored
    assert run(root, tmp_path / "out", *words[:2], "split.max_s=1.2") == 0


def test_mistakes_end_in_one_line(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "nowhere" in capsys.readouterr().err
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(empty, tmp_path / "out") == 2
    assert "no videos" in capsys.readouterr().err
    assert run(videos, tmp_path / "out", "steps.static.ranges.changed_fraction.min=2") == 2
    assert "not one of 9 clips passed" in capsys.readouterr().err
