import csv
import json
import subprocess
import sys

import pytest
from PIL import Image

from data.bounce.captions import caption_variants
from data.bounce.config import WorldConfig
from data.bounce.world import make_video
from eval.bounce_checker.metric import BounceMetric
from eval.config import EvalConfig
from eval.core.degradations import frozen
from eval.core.manifest import Sample, write_manifest
from eval.core.video import write_video
from eval.pipeline import measure_sample
from eval.quality.low_level import LowLevelQuality
from eval.run import main
from eval.scoring import score
from src.core.errors import UserError

WORLD = WorldConfig(max_objects=1, still_prob=0.0, cameras=("static shot",), holdout="include", split="all")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six correct videos, two frozen ones, and every kind of sample that must be dropped."""
    root = tmp_path_factory.mktemp("films")
    samples = []
    for seed in range(8):
        clip = make_video(seed, WORLD, num_frames=16, height=32, width=32, fps=16)
        video = clip.video_THWC if seed < 6 else frozen(clip.video_THWC, 0)
        write_video(root / f"films/{seed}.mp4", video, 16)
        tags = ("held-out",) if seed % 2 else ("seen",)
        prompt = caption_variants(clip.facts)[0]
        facts = clip.facts.to_dict()
        samples.append(Sample(id=str(seed), prompt=prompt, video=f"films/{seed}.mp4", facts=facts, tags=tags))
    (root / "films/text.mp4").write_text("no film")
    write_video(root / "films/tiny.mp4", video[:2, :2, :2], 16)
    bad = {"lost": "films/none.mp4", "text": "films/text.mp4", "tiny": "films/tiny.mp4", "none": None}
    samples += [Sample(id=name, prompt="p", video=path, facts=facts) for name, path in bad.items()]
    samples.append(Sample(id="factless", prompt="p", video="films/0.mp4"))
    write_manifest(root / "manifest.jsonl", samples)
    return root


@pytest.fixture(scope="module")
def results(folder):
    out = folder / "out"
    score(EvalConfig(manifest=str(folder / "manifest.jsonl"), out=str(out), sheet_rows=5))
    return out


def table(out):
    return list(csv.DictReader((out / "table.csv").read_text().splitlines()))


def records(out):
    return {r["id"]: r for r in map(json.loads, (out / "results.jsonl").read_text().splitlines())}


def test_every_sample_has_a_record_and_every_drop_a_reason(results):
    found = records(results)
    assert len(found) == 13
    assert found["0"]["values"] == {"subject": 1.0, "motion": 1.0, "camera": 1.0}
    assert found["7"]["values"]["subject"] == 1.0
    assert found["7"]["values"]["motion"] == 0.0
    reasons = {name: record["dropped"] for name, record in found.items() if record["values"] is None}
    assert reasons["lost"] == "video: no such file: 'films/none.mp4'"
    assert reasons["text"].startswith("films/text.mp4: unreadable")
    assert "at least 8x8 pixels" in reasons["tiny"]
    assert reasons["none"] == "sample has no `video`"
    assert reasons["factless"] == "sample has no `facts`"
    assert len(reasons) == 5


def test_tables_agree_and_count_what_was_dropped(results):
    motion = {r["slice"]: r for r in table(results) if r["score"] == "motion"}
    assert (motion["all"]["num_scored"], motion["all"]["num_samples"]) == ("8", "13")
    assert float(motion["all"]["mean"]) == pytest.approx(0.75)
    assert float(motion["all"]["low"]) < 0.75 < float(motion["all"]["high"])
    assert float(motion["seen"]["mean"]) == pytest.approx(0.75)
    summary = json.loads((results / "summary.json").read_text())
    assert summary["num_samples"] == 13
    assert {d["id"] for d in summary["dropped"]} == {"lost", "text", "tiny", "none", "factless"}
    assert summary["measured"][0]["version"].startswith("bounce-checker")
    assert "| – | all | 8 / 13 |" in (results / "table.md").read_text()


def test_the_sheet_is_drawn(results):
    with Image.open(results / "contact_sheet.png") as sheet:
        assert sheet.width > 1200
        assert sheet.height > 5 * 130


def test_workers_change_nothing(folder, results):
    out = folder / "parallel"
    score(EvalConfig(manifest=str(folder / "manifest.jsonl"), out=str(out), num_workers=2, sheet_rows=0))
    for name in ("results.jsonl", "table.csv"):
        assert (out / name).read_bytes() == (results / name).read_bytes()


def test_slices_and_strictness(folder):
    manifest = str(folder / "manifest.jsonl")
    score(EvalConfig(manifest=manifest, out=str(folder / "cut"), slices=("seen",), sheet_rows=0))
    assert {r["slice"] for r in table(folder / "cut")} == {"all", "seen"}
    with pytest.raises(ValueError, match="sample 'lost': bounce: video: no such file"):
        score(EvalConfig(manifest=manifest, out=str(folder / "strict"), strict=True))


def test_images_are_generated_by_subject_only(tmp_path):
    clip = make_video(1, WORLD, num_frames=1, height=32, width=32, fps=16)
    Image.fromarray(clip.video_THWC[0]).save(tmp_path / "a.png")
    sample = Sample(id="a", prompt="", video="a.png", facts=clip.facts.to_dict())
    (record,) = measure_sample(sample, root=tmp_path, metrics=[BounceMetric()])
    assert record.values == {"subject": 1.0}
    still = Sample(id="a", prompt="", image="a.png", facts=clip.facts.to_dict())
    metrics = [BounceMetric(), LowLevelQuality()]
    bounce, low_level = measure_sample(still, root=tmp_path, metrics=metrics)
    assert bounce.values == {"subject": 1.0}
    assert set(low_level.values) == {"si", "blur", "blocks"}


def test_mistakes_on_the_command_line(tmp_path):
    for argv, message in (
        (["manifest=x.jsonl", f"out={tmp_path}"], "no such file: x.jsonl"),
        (["out=x"], "videos=FOLDER or manifest=FILE must be given"),
        ([f"videos={tmp_path}", "manifest=x"], "videos, manifest: give only one of them"),
        (["manifest=x", "out=y", "metrics=[fvd]"], "'fvd' is neither a metric nor a suite"),
        (["manifest=x", "out=y", "num_workers=-1"], "num_workers must be at least 0"),
        (["manifest=x", "out=y", "strikt=true"], "did you mean strict"),
    ):
        with pytest.raises(UserError, match=message):
            main(argv)


def test_one_line_and_exit_code_two():
    command = [sys.executable, "-m", "eval.run", "manifest=none.jsonl", "out=/proc/none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


def test_videos_without_facts_need_another_metric(folder, tmp_path):
    samples = [Sample(id=str(seed), prompt="p", video=f"films/{seed}.mp4") for seed in range(2)]
    write_manifest(folder / "factless.jsonl", samples)
    argv = [f"manifest={folder}/factless.jsonl", f"out={tmp_path}", "sheet_rows=0", "html_videos=0"]
    with pytest.raises(
        UserError, match=r"no sample has `facts`, which metrics=bounce needs; .* metrics=auto"
    ):
        main([*argv, "metrics=bounce"])
    assert not list(tmp_path.iterdir())
    main(argv)  # what suits them is chosen
    assert float(next(r for r in table(tmp_path) if r["score"] == "flicker")["num_scored"]) == 2


def test_a_run_that_measures_nothing_is_an_error(folder, tmp_path):
    write_manifest(folder / "lost.jsonl", [Sample(id="a", prompt="p", video="films/none.mp4")])
    argv = [f"manifest={folder}/lost.jsonl", f"out={tmp_path}", "metrics=low_level", "sheet_rows=0"]
    with pytest.raises(UserError, match=r"nothing was measured: .* a \(low_level\): video: no such file"):
        main([*argv, "html_videos=0"])
    assert list(records(tmp_path)) == ["a"]
