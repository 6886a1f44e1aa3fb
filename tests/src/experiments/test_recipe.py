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
    set: {n: 2, out: "${run_dir}/prompts.jsonl"}
  more:
    command: prompts
    set: {n: 3, out: "${run_dir}/more.jsonl"}
show: {prompts: "${run_dir}/prompts.jsonl"}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    Path("recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_stages_run_once_are_noticed_when_changed_and_named_when_they_fail(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train.main(["recipe.yaml"])
    assert len(Path("chain/more.jsonl").read_text().splitlines()) == 3
    record = json.loads(Path("chain/stages/more.json").read_text())
    assert record["command"] == ["data.bounce.prompts", "n=3", "out=chain/more.jsonl"]
    assert record["seconds"] > 0
    assert "chain/prompts.jsonl" in capfd.readouterr().out

    Path("chain/prompts.jsonl").write_text("kept\n")
    Path("chain/stages/more.json").unlink()
    train.main(["recipe.yaml"])
    assert Path("chain/prompts.jsonl").read_text() == "kept\n"
    assert "prompts: finished before, skipped" in capfd.readouterr().out

    with pytest.raises(UserError, match=r"stage prompts was finished with other settings \(now n=5\)"):
        train.main(["recipe.yaml", "stages.prompts.set.n=5"])
    Path("base.yaml").write_text("n: 2")
    Path("n.yaml").write_text("extends: base.yaml")
    changed = ["recipe.yaml", "stages.third.command=prompts", "stages.third.config=n.yaml"]
    changed.append("stages.third.set.out=chain/third.jsonl")
    train.main(changed)
    Path("base.yaml").write_text("n: 4")
    with pytest.raises(UserError, match=r"stage third was finished with other settings \(now n=4\)"):
        train.main(changed)
    third = Path("chain/stages/third.json")
    told = third.read_text()
    third.write_text(json.dumps({"command": []}))  # as an older version wrote it
    with pytest.raises(UserError, match="stage third was finished with other settings"):
        train.main(changed)
    third.write_text(told)
    Path("base.yaml").write_text("n: 2")
    Path("chain/third.jsonl").unlink()
    train.main(changed)
    assert len(Path("chain/third.jsonl").read_text().splitlines()) == 2
    with pytest.raises(UserError, match=r"stage last stopped \(see the line above\)"):
        train.main(["recipe.yaml", "stages.last.command=prompts", "stages.last.set.n=0"])
    assert not Path("chain/stages/last.json").exists()
