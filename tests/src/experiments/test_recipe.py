"""A chain of stages: run once, skipped when finished, refused when changed, stopped by a failing stage."""

import json
from pathlib import Path

import pytest

from src import train
from src.core.errors import UserError

RECIPE = """
experiment: recipe
name: chain
run_dir: chain
stages:
  prompts:
    command: prompts
    set: {num_prompts: 2, out: "${run_dir}/prompts.jsonl"}
  more:
    command: prompts
    set: {num_prompts: 3, out: "${run_dir}/more.jsonl"}
show: {prompts: "${run_dir}/prompts.jsonl"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    state = {"commit": "HEAD", "changed": {}}
    monkeypatch.setattr("src.core.provenance.code_state", lambda: state)
    Path("recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_stages_run_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train.main(["recipe.yaml"])
    assert len(Path("chain/more.jsonl").read_text().splitlines()) == 3
    record = json.loads(Path("chain/stages/more.json").read_text())
    assert record["command"] == ["data.bounce.prompts", "num_prompts=3", "out=chain/more.jsonl"]
    assert record["seconds"] > 0
    assert "chain/prompts.jsonl" in capfd.readouterr().out

    Path("chain/prompts.jsonl").write_text("kept\n")
    Path("chain/stages/more.json").unlink()
    train.main(["recipe.yaml"])
    assert Path("chain/prompts.jsonl").read_text() == "kept\n"
    assert "prompts: completed before, skipped" in capfd.readouterr().out


def test_other_code_is_reported(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train.main(["recipe.yaml"])
    record = Path("chain/stages/prompts.json")
    entry = json.loads(record.read_text())
    entry["code"]["changed"]["src/models/block.py"] = "an edit that is gone"
    record.write_text(json.dumps(entry))
    capfd.readouterr()
    train.main(["recipe.yaml"])
    out = capfd.readouterr().out
    assert "prompts: completed with other code (src/models/block.py changed since)" in out
    assert "more: completed before, skipped" in out


def test_changed_settings_are_refused(folder: Path) -> None:
    train.main(["recipe.yaml"])
    with pytest.raises(
        UserError, match="stage prompts already completed with different settings: num_prompts was 2, now 5"
    ):
        train.main(["recipe.yaml", "stages.prompts.set.num_prompts=5"])
    Path("base.yaml").write_text("num_prompts: 2")
    Path("n.yaml").write_text("extends: base.yaml")
    changed = ["recipe.yaml", "stages.third.command=prompts", "stages.third.config=n.yaml"]
    changed.append("stages.third.set.out=chain/third.jsonl")
    train.main(changed)
    Path("base.yaml").write_text("num_prompts: 4")
    with pytest.raises(
        UserError, match="stage third already completed with different settings: num_prompts was 2, now 4"
    ):
        train.main(changed)


def test_a_missing_result_is_computed_again_and_a_failure_names_its_stage(folder: Path) -> None:
    train.main(["recipe.yaml"])
    Path("chain/more.jsonl").unlink()
    train.main(["recipe.yaml"])
    assert len(Path("chain/more.jsonl").read_text().splitlines()) == 3
    with pytest.raises(UserError, match=r"stage last failed \(see above\); fix and re-run"):
        train.main(["recipe.yaml", "stages.last.command=prompts", "stages.last.set.num_prompts=0"])
    assert not Path("chain/stages/last.json").exists()


def test_text_on_the_command_line_is_taken_verbatim(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["recipe.yaml", "name=[sign #1", "--print"])
    assert "name: '[sign #1'" in capsys.readouterr().out
