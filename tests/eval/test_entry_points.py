"""Every command of eval: --help, --print, unknown keys, typical mistakes, import time."""

import runpy
import subprocess
import sys
from importlib import import_module

import pytest

from src.core.cli import run

NEEDED = {
    "run": ["manifest=m", "out=o"],
    "compare": ["runs=[a]", "out=o"],
    "sanity.run": [],
    "human.agreement": ["votes=v", "runs=[a]", "out=o"],
    "build_manifest": ["source=s", "out=o"],
    "bounce_checker.validate": [],
    "bounce_checker.validate_audio": [],
    "bounce_checker.compare_audio": ["manifest=m"],
}
MISTAKES = [
    ("run", ["metrics=[psnr2]"], "metrics: 'psnr2' is neither a metric nor a suite"),
    ("run", ["manifest=nowhere.jsonl"], "manifest: no such file: nowhere.jsonl"),
    ("run", ["metrics=[clip_score]"], "weights.clip.path"),
    ("compare", ["runs=nowhere"], "nowhere has no results.jsonl"),
    ("compare", ["runs=[]"], "runs: name at least one folder"),
    ("sanity.run", ["num=0"], "num must be at least 1, got 0"),
    ("human.agreement", ["votes=nowhere.csv"], "nowhere"),
    ("build_manifest", ["kind=folders"], "kind must be one of folder,"),
    ("build_manifest", ["source=nowhere"], "nowhere"),
    ("bounce_checker.validate", ["worlds=[mars]"], "worlds must be one of tiny,"),
    ("bounce_checker.validate_audio", ["num=0"], "num must be at least 1, got 0"),
    ("bounce_checker.compare_audio", ["manifest=nowhere.jsonl"], "nowhere.jsonl"),
    ("bounce_checker.compare_audio", ["manifest="], "manifest must be given"),
]


def run_main(name, argv, capsys):
    code = run(import_module(f"eval.{name}").main, argv)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", NEEDED)
def test_help_and_print_do_nothing_else(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, error = run_main(name, ["--help"], capsys)
    assert (code, error) == (0, "")
    assert f"python -m eval.{name}" in out
    assert "  out" in out
    code, out, error = run_main(name, [*NEEDED[name], "--print"], capsys)
    assert (code, error) == (0, "")
    assert "out: " in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NEEDED)
def test_an_unknown_key_is_one_line(name, capsys):
    code, out, error = run_main(name, [*NEEDED[name], "outt=3"], capsys)
    assert (code, out) == (2, "")
    assert len(error.splitlines()) == 1
    assert "outt" in error


@pytest.mark.parametrize(("name", "argv", "message"), MISTAKES)
def test_a_typical_mistake_is_one_line(name, argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = run_main(name, [*NEEDED[name], *argv], capsys)
    assert code == 2
    assert len(error.splitlines()) == 1
    assert message in error


@pytest.mark.parametrize("name", ["sanity.run", "bounce_checker.validate", "bounce_checker.validate_audio"])
def test_unwritable_output_is_reported_before_the_work(name, capsys, tmp_path):
    code, out, error = run_main(name, [f"out={tmp_path}/nowhere/table.md"], capsys)
    assert (code, out) == (2, "")
    assert error.startswith("error: out: no such folder")


@pytest.mark.parametrize("name", NEEDED)
def test_help_imports_no_slow_library(name):
    slow = "torch", "lightning", "scipy.ndimage", "scipy.signal", "scipy.stats", "matplotlib"
    code = f"import sys, eval.{name}; print(*set({slow}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", NEEDED)
def test_each_runs_as_a_module(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    monkeypatch.delitem(sys.modules, f"eval.{name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"eval.{name}", run_name="__main__")
    assert not ended.value.code
    assert f"python -m eval.{name}" in capsys.readouterr().out
