"""Runs that fail, are killed, or meet metrics that raise: nothing that was measured is lost."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from eval import pipeline
from eval.backbones.config import UserProgramConfig
from eval.backbones.user_program import UserProgram
from eval.config import EvalConfig
from eval.core.frame_metric import FrameMetric, PairMetric
from eval.core.journal import Journal
from eval.core.manifest import Sample, write_manifest
from eval.core.results import Measurement, Score
from eval.core.video import write_video
from eval.measurement import measure_sample
from eval.quality.low_level import LowLevelQuality
from eval.run import main
from eval.scoring import score
from src.core.cli import run
from tests.fixtures.network_checkpoints import save_script
from tests.fixtures.videos import waves

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = ("results.jsonl", "scores.jsonl", "table.md", "table.tex", "table.csv")


@pytest.fixture
def folder(tmp_path):
    samples = []
    for seed in range(5):
        write_video(tmp_path / f"{seed}.mp4", waves(seed, 4), 16)
        samples.append(Sample(id=str(seed), prompt=f"p{seed}", video=f"{seed}.mp4", reference=f"{seed}.mp4"))
    write_manifest(tmp_path / "manifest.jsonl", samples)
    return tmp_path


def config(folder, out, **changes):
    settings = {"metrics": ("low_level", "vmaf"), "sheet_rows": 0, "html_videos": 0, **changes}
    return EvalConfig(manifest=str(folder / "manifest.jsonl"), out=str(folder / out), **settings)


# A run whose process kills itself, as `kill -9` would, when it opens its third video.
_KILLED = """
import os, signal, sys
from eval.core import frame_pass
from eval.run import main

opened, real = [], frame_pass.open_frames

def open_frames(path):
    opened.append(path)
    if path.name == "2.mp4":
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path)

frame_pass.open_frames = open_frames
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_where_it_stopped(folder, monkeypatch):
    out = folder / "out"
    out.mkdir()
    (out / "table.md").write_text("the tables of an earlier run")
    argv = [f"manifest={folder}/manifest.jsonl", f"out={out}", "metrics=[low_level,vmaf]"]
    argv += ["sheet_rows=0", "html_videos=0"]
    done = subprocess.run([sys.executable, "-c", _KILLED, *argv], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (out / "table.md").read_text() == "the tables of an earlier run"
    assert not (out / "results.jsonl").exists()
    measured, observe = [], LowLevelQuality.observe

    def counted(self, item, info):
        measured.append(item.sample.id)
        return observe(self, item, info)

    monkeypatch.setattr(LowLevelQuality, "observe", counted)
    score(config(folder, "out"))
    assert measured == ["2", "3", "4"]
    assert not (out / "unfinished").exists()
    score(config(folder, "whole"))
    assert measured == ["2", "3", "4", *"01234"]  # nothing is kept once a run has finished
    for name in OUTPUTS:
        assert (out / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_changed_files_settings_and_failures_are_measured_again(folder):
    sample = Sample(id="0", prompt="", video="0.mp4")
    metric = LowLevelQuality()
    journal = Journal(folder / "journal")
    (first,) = measure_sample(sample, root=folder, metrics=[metric], journal=journal)
    key = journal.key(sample, folder, metric)
    journal.close()
    with (folder / "journal" / "cut.jsonl").open("wb") as half:  # the process died while it wrote a line
        half.write(b"0" * 64 + b' {"values": {"flick')
    journal = Journal(folder / "journal")
    assert journal.num_found == 1
    assert journal.find(key)["values"] == first.values
    assert journal.find("0" * 64) is None
    write_video(folder / "0.mp4", waves(9, 4), 16)
    os.utime(folder / "0.mp4", ns=(1, 1))
    assert journal.find(journal.key(sample, folder, metric)) is None
    (second,) = measure_sample(sample, root=folder, metrics=[metric], journal=journal)
    assert second.values != first.values
    lost = Sample(id="lost", prompt="", video="none.mp4")
    for _ in range(2):
        (record,) = measure_sample(lost, root=folder, metrics=[metric], journal=journal)
        assert record.dropped == "video: no such file: 'none.mp4'"
        assert journal.find(journal.key(lost, folder, metric)) is None
    journal.close()


def test_a_failed_run_leaves_the_earlier_results(folder, monkeypatch):
    score(config(folder, "out", metrics=("low_level",)))
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()}
    monkeypatch.setattr("eval.scoring.write_tables", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score(config(folder, "out"))
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.is_file()} == before


class Raising(FrameMetric):
    """Raises after some frames, or before the first, an unexpected exception."""

    scores = {"x": Score(1)}

    def __init__(self, name, error, after=0):
        self.name, self.error, self.after = name, error, after

    def describe(self):
        return {}

    def observe(self, item, info):
        for _ in range(self.after):
            yield
        raise self.error
        yield


class Unwritable(FrameMetric):
    name, scores = "unwritable", {"x": Score(1)}

    def describe(self):
        return {}

    def observe(self, item, info):
        while (yield) is not None:
            pass
        return Measurement({"x": 1.0}, {"a": object()})


class Direct:
    """A metric that reads media by itself."""

    name, scores = "direct", {"x": Score(1)}

    def describe(self):
        return {}

    def measure(self, item):
        raise MemoryError


class RaisingPair(PairMetric):
    name, scores = "pair", {"x": Score(1)}

    def describe(self):
        return {}

    def observe_pairs(self, item, info):
        yield
        raise IndexError("list index out of range")


def test_any_exception_drops_only_that_measurement(folder):
    metrics = [
        Raising("key", KeyError("x")),
        Raising("runtime", RuntimeError("CUDA\nout of memory"), 2),
        Raising("empty", AssertionError(), 3),
        Raising("value", ValueError("too small")),
        Unwritable(),
        Direct(),
        RaisingPair(),
        LowLevelQuality(),
    ]
    sample = Sample(id="0", prompt="", video="0.mp4", reference="1.mp4")
    found = {each.metric: each for each in measure_sample(sample, root=folder, metrics=metrics)}
    assert found["low_level"].dropped is None
    assert {name: each.dropped for name, each in found.items() if each.dropped} == {
        "key": "KeyError: 'x'",
        "runtime": "RuntimeError: CUDA out of memory",
        "empty": "AssertionError",
        "value": "too small",
        "unwritable": "TypeError: Object of type object is not JSON serializable",
        "direct": "MemoryError",
        "pair": "IndexError: list index out of range",
    }
    assert found["value"].detail == {"error": "ValueError"}


def test_a_backbone_that_raises_on_one_video(folder, monkeypatch):
    save_script(torch.nn.Sequential(torch.nn.Flatten()), folder / "pixels.pt")
    real = UserProgram._run

    def run_or_raise(self, batch):
        if batch.mean() == pytest.approx(unlucky, abs=1e-3):
            raise RuntimeError("shape mismatch")
        return real(self, batch)

    local = {"pixels": UserProgramConfig(path=str(folder / "pixels.pt"), size=4, num_frames=2)}
    means = []
    monkeypatch.setattr(
        UserProgram, "_run", lambda self, batch: means.append(batch.mean()) or real(self, batch)
    )
    score(config(folder, "all", metrics=("consistency",), local=local, cache=str(folder / "a")))
    unlucky = means[2]
    monkeypatch.setattr(UserProgram, "_run", run_or_raise)
    score(config(folder, "out", metrics=("consistency",), local=local, cache=str(folder / "b")))
    lines = [json.loads(line) for line in (folder / "out/results.jsonl").read_text().splitlines()]
    dropped = {(each["id"], each["metric"]): each["dropped"] for each in lines if each["dropped"]}
    reason = "RuntimeError: shape mismatch"
    assert dropped == {("2", "consistency_pixels"): reason, ("2", "features_pixels"): reason}


def test_exit_codes(folder, capsys):
    common = [f"out={folder}/out", "sheet_rows=0", "html_videos=0", f"manifest={folder}/manifest.jsonl"]
    assert run(main, [*common, "metrics=[low_level]"]) == 0
    capsys.readouterr()
    write_manifest(
        folder / "wrong.jsonl", [Sample(id=str(n), prompt="", video=f"x{n}.mp4") for n in range(3)]
    )
    assert run(main, [*common, f"manifest={folder}/wrong.jsonl", "metrics=[low_level]"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nothing was measured" in error
    alone = [Sample(id=str(n), prompt="", video=f"{n}.mp4") for n in range(3)]
    write_manifest(folder / "alone.jsonl", alone)
    assert run(main, [*common, f"manifest={folder}/alone.jsonl", "metrics=[low_level,fidelity]"]) == 1
    assert (
        "1 metric measured nothing: every sample was dropped, first 0 (fidelity): sample has no `reference`"
        in (capsys.readouterr().err)
    )
    assert "low_level" in (folder / "out/table.md").read_text()  # what was measured is there
    assert run(main, [*common, f"reference={folder}/wrong.jsonl", "metrics=[low_level]"]) == 2
    assert "need a backbone" in capsys.readouterr().err


def test_a_worker_that_is_killed_is_reported(folder, monkeypatch):
    def broken(*_, **__):
        raise BrokenProcessPool("a process died")

    monkeypatch.setattr(pipeline.ProcessPoolExecutor, "map", broken)
    records = pipeline.score_samples([Sample(id="0", prompt="")], folder, [], 1, folder / "journal")
    with pytest.raises(ValueError, match=r"worker process was killed .* the same command resumes"):
        next(records)
