"""Video variants are scored by the Bounce checker at the configured checkpoints."""

import json
from pathlib import Path

import pytest

from data import prepare
from data.bounce import prompts
from src import train
from src.core import config
from src.core.errors import UserError
from src.runs import steps
from src.studies.ablation import report
from src.studies.ablation.config import AblationConfig
from src.studies.ablation.matched_time import PROBE_OVERRIDES, match_time
from src.studies.ablation.measure import measurement_dir
from src.training.metrics_file import METRICS_FILE, SECONDS_PER_STEP, read_metrics, training_seconds
from tests.fixtures.in_process import in_process
from tests.src.experiments.test_chain import DATA, TAE_YAML, VIDEO

ABLATION = """
experiment: ablation
name: toy
variants:
  base: {stages: [video.yaml]}
  often:
    stages: [video.yaml]
    set: {train: {checkpoint_every: 1, val_every: 1, keep_checkpoints: 9}}
    measured: all
    generate_overrides: {sampler: {num_steps: 1}}
set: {train: {max_steps: 3, sample_every: 0}}
measure:
  prompts: prompts.jsonl
  generate_overrides: {precision: fp32, sampler: {num_steps: 2}}
notes: [toys]
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("tae", TAE_YAML), ("video", VIDEO), ("data", DATA), ("ablation", ABLATION)):
        Path(f"{name}.yaml").write_text(text)
    prepare.main(["data.yaml"])
    train.main(["tae.yaml", "run_dir=tae", "train.max_steps=1", "train.val_every=0"])
    Path("latents.yaml").write_text("{experiment: encode_latents, tae: tae, data: data}")
    train.main(["latents.yaml", "run_dir=latents"])
    prompts.main(["prompts.jsonl", "num_prompts=3", "world.max_objects=1"])
    return tmp_path


def test_scores_are_tabulated_with_the_validation_loss(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = in_process(monkeypatch)
    train.main(["ablation.yaml"])
    assert [argv[0] for argv in seen] == ["src.generate", "eval.run"] * 4
    assert ["sampler.num_steps=2" in argv for argv in seen[::2]] == [True, False, False, False]
    settings = config.load(AblationConfig, "ablation.yaml")
    rows = json.loads(Path("runs/toy/results.json").read_text())
    assert [(row["variant"], row["step"], row["last"]) for row in rows] == [
        ("base", 3, True), ("often", 1, False), ("often", 2, False), ("often", 3, True),
    ]  # fmt: skip
    for row in rows:
        assert set(row["measured"]) == {"subject", "motion"}
        assert all(0 <= value <= 1 for value in row["measured"].values())
        run = settings.stage_dirs(row["variant"], 0)[0]
        folder = measurement_dir(run / "checkpoints" / f"step-{row['step']:08d}.ckpt")
        summary = json.loads((folder / "scores" / "summary.json").read_text())
        (bounce,) = [r for r in summary["rows"] if r["slice"] == "all"]
        assert row["measured"]["motion"] == bounce["intervals"]["motion"]["mean"]
        lines = [r for r in read_metrics(run / METRICS_FILE) if r["step"] == row["step"]]
        assert row["metrics"]["val/loss"] in [r["val/loss"] for r in lines if "val/loss" in r]
    table = Path("runs/toy/results.md").read_text()
    assert "| variant | seeds | steps | training seconds | val/loss | subject | motion |" in table
    assert "### often: validation loss and scores over checkpoints" in table
    assert "- toys" in table
    assert Path("runs/toy/often_checkpoints.png").stat().st_size > 5000

    (folder / "steps" / "scores.json").unlink()
    train.main(["ablation.yaml"])
    assert [argv[0] for argv in seen[8:]] == ["eval.run"]  # the interrupted step, and nothing else
    with pytest.raises(UserError, match="different settings: seed was None, now 1"):
        train.main(["ablation.yaml", "measure.generate_overrides.seed=1"])


def test_correlation_with_the_loss_is_by_rank(tmp_path: Path) -> None:
    Path(tmp_path / "ablation.yaml").write_text(ABLATION)
    settings = config.load(AblationConfig, tmp_path / "ablation.yaml")
    pairs = [(0.9, 0.1), (0.5, 0.2), (0.4, 0.9)]
    rows = [
        {"variant": "often", "seed": 0, "step": n}
        | {"metrics": {"val/loss": loss}, "measured": {"subject": score}}
        for n, (loss, score) in enumerate(pairs)
    ]
    for row in rows:
        row["measured"]["motion"] = 0.5  # type: ignore[index]
    (text,) = report.checkpoint_tables(settings, rows, tmp_path)
    assert "over 3 checkpoints: subject -1.00, motion not defined." in text
    assert report.format_mean([1.0, 3.0]) == "2 ± 1.4"
    assert report.format_mean([None]) == "–"


def test_training_seconds_exclude_the_first_step_and_validation(tmp_path: Path) -> None:
    path = tmp_path / METRICS_FILE
    lines = [(1, 9.0), (10, 0.5), (20, 0.25)]
    path.write_text(
        "".join(json.dumps({"step": step, SECONDS_PER_STEP: each}) + "\n" for step, each in lines)
        + json.dumps({"step": 20, "val/loss": 1.0}) + "\n"
    )  # fmt: skip
    assert training_seconds(path, 20) == pytest.approx(10 * 0.5 + 10 * 0.25)
    assert training_seconds(path, 24) == pytest.approx(10 * 0.5 + 14 * 0.25)
    assert training_seconds(tmp_path / "none", 5) == 0


def test_matched_steps_come_from_a_probe(tmp_path: Path) -> None:
    calls = []

    def probe(folder: Path, further: dict) -> None:
        calls.append(further)
        folder.mkdir()
        rates = [5.0, 0.2, 0.1, 0.3]  # only the second half counts
        lines = [json.dumps({"step": n, SECONDS_PER_STEP: each}) for n, each in enumerate(rates, 1)]
        (folder / METRICS_FILE).write_text("\n".join(lines))

    path = tmp_path / "matched_time.json"
    found = match_time(path, 30.0, probe, 4, min_steps=2)
    assert (found.num_steps, found.seconds_per_step) == (150, pytest.approx(0.2))
    assert calls == [{**PROBE_OVERRIDES, "train.max_steps": 4, "train.checkpoint_every": 4}]
    assert match_time(path, 99.0, probe, 4, min_steps=2) == found  # a resumed run keeps its length
    assert len(calls) == 1
    with pytest.raises(UserError, match="no time is left"):
        match_time(tmp_path / "other.json", -1.0, probe, 4, min_steps=2)


def test_settings_become_overrides() -> None:
    tree = {"a.b": 1, "c": {"d": True, "e": [1, "x"]}, "f": None, "g": {}, "h": ""}
    assert steps.to_overrides(tree) == ["a.b=1", "c.d=true", "c.e=[1,x]", "f=null", "g={}", "h=''"]
