"""Suites, backbones and references through a complete eval.run."""

import json

import numpy as np
import pytest
import torch

from eval.backbones.config import UserProgramConfig
from eval.catalog import expand_metrics
from eval.config import EvalConfig
from eval.core.degradations import blur
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.scoring import score
from src.core.hashing import file_sha256
from tests.fixtures.videos import waves


class Toy(torch.nn.Module):
    """Mean colors of a video's quarters."""

    def forward(self, x):
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) / 255


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Toy()).save(str(root / "toy.pt"))
    samples = {"real": [], "generated": []}
    for seed in range(12):
        for kind, change in (("real", 0), ("good", 0), ("soft", 3)):
            video = waves(seed + 100 * (kind != "real"), num=5, side=32)
            video = blur(change)(video, 0) if change else video
            write_video(root / f"{kind}/{seed}.mp4", video, 16)
            system = "" if kind == "real" else kind
            sample = Sample(id=str(seed), prompt=f"p{seed // 2}", system=system, video=f"{kind}/{seed}.mp4")
            samples["real" if kind == "real" else "generated"].append(sample)
    samples["generated"].append(Sample(id="lost", prompt="p", system="soft", video="soft/none.mp4"))
    for name, found in samples.items():
        write_manifest(root / f"{name}.jsonl", found)
    return root


def config(folder, out, **changes):
    local = {"toy": UserProgramConfig(path=str(folder / "toy.pt"), size=16, num_frames=3)}
    generated, real = str(folder / "generated.jsonl"), str(folder / "real.jsonl")
    settings = {"metrics": ("video",), "local": local, "sheet_rows": 0, "html_videos": 3, **changes}
    return EvalConfig(manifest=generated, reference=real, out=str(folder / out), **settings)


@pytest.fixture(scope="module")
def results(folder):
    score(config(folder, "out"))
    return [json.loads(line) for line in (folder / "out" / "scores.jsonl").read_text().splitlines()]


def pick(results, system, name):
    (found,) = [r for r in results if (r["system"], r["score"], r["slice"]) == (system, name, "all")]
    return found


def test_every_number_describes_itself(folder, results):
    found = pick(results, "soft", "fd_toy")
    assert (found["num_scored"], found["num_samples"]) == (12, 13)
    assert found["dropped"] == [{"id": "lost", "reason": "video: no such file: 'soft/none.mp4'"}]
    assert found["measured"]["weights_sha256"] == file_sha256(folder / "toy.pt")
    assert found["measured"]["preprocessing"]["size"] == 16
    assert found["seed"] == 0
    assert found["num_groups"] == 6  # prompts
    assert (found["num"], found["num_reference"]) == (12, 12)  # videos, not their 36 rows
    assert {"numpy", "scipy"} <= set(found["versions"])
    assert found["low"] < found["mean"] < found["high"]
    assert found["better"] == -1
    assert pick(results, "good", "fd_toy")["dropped"] == []


def test_worse_videos_are_worse(results):
    assert pick(results, "soft", "blur")["mean"] > pick(results, "good", "blur")["mean"]
    assert pick(results, "soft", "consistency_toy")["num_samples"] == 13
    assert pick(results, "soft", "flicker")["mean"] > pick(results, "good", "flicker")["mean"]


def test_refused_numbers_are_named(folder, results):
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert summary["reference"] == {"num_samples": 12, "dropped": []}
    assert not [r for r in results if r["score"] == "is_toy"]
    text = (folder / "out" / "table.md").read_text()
    assert "36 samples in 12 dimensions" not in text
    assert "fd_toy ↓" in text


@pytest.mark.parametrize(
    "workers", [2, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_processes_change_no_bit(folder, results, workers):
    out = f"out{workers}"
    score(config(folder, out, num_workers=workers, cache=str(folder / out / "own")))
    for name in ("results.jsonl", "scores.jsonl", "table.csv", "table.tex"):
        assert (folder / out / name).read_bytes() == (folder / "out" / name).read_bytes()


def test_a_shared_cache_gives_the_same_and_reads_no_video_twice(folder, results):
    files = sorted((folder / "out" / "features").rglob("*.npz"))
    assert len(files) == 36
    before = [file.stat().st_mtime_ns for file in files]
    score(config(folder, "again", cache=str(folder / "out" / "features")))
    assert [file.stat().st_mtime_ns for file in files] == before
    assert (folder / "again" / "table.csv").read_bytes() == (folder / "out" / "table.csv").read_bytes()


def test_the_page_holds_its_videos(folder, results):
    page = (folder / "out" / "report.html").read_text()
    assert page.count("data:video/mp4;base64,") == 2  # the sample without a file comes first
    assert "<svg" in page
    assert "http:" not in page
    assert "https:" not in page
    tex = (folder / "out" / "table.tex").read_text()
    assert tex.count("\\toprule") == tex.count("\\bottomrule") >= 3
    assert "fd\\_toy $\\downarrow$" in tex


def test_strict_stops_and_nan_is_dropped(folder):
    with pytest.raises(ValueError, match="sample 'lost': low_level: video: no such file"):
        score(config(folder, "strict", strict=True))
    assert expand_metrics(["video", "low_level"]) == ("low_level", "consistency")
    with pytest.raises(ValueError, match="consistency needs a backbone"):
        score(config(folder, "x", local={}))
    with pytest.raises(ValueError, match="backbones: 'fid' is unknown"):
        score(config(folder, "x", backbones=("fid",)))


def test_without_a_reference_there_are_no_distances(folder):
    score(EvalConfig(**{**vars(config(folder, "alone")), "reference": ""}))
    found = (folder / "alone" / "scores.jsonl").read_text()
    assert "consistency_toy" in found
    assert "fd_toy" not in found
    assert np.isfinite([json.loads(line)["mean"] for line in found.splitlines()]).all()
