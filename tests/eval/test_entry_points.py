"""What every command of eval does when asked for help, for its settings, or for what it does not know."""

from importlib import import_module

import pytest

from src.core.cli import run

NEEDED = {
    "run": ["manifest=m", "out=o"],
    "compare": ["runs=[a]", "out=o"],
    "selftest": [],
    "agreement": ["votes=v", "runs=[a]", "out=o"],
    "import_media": ["source=s", "out=o"],
    "alignment.validate_bounce": [],
    "alignment.validate_sound": [],
}
MISTAKES = [
    ("run", ["metrics=[psnr2]"], "metrics: expected some of"),
    ("run", ["manifest=nowhere.jsonl"], "manifest: no such file: nowhere.jsonl"),
    ("run", ["metrics=[clip_score]"], "weights.clip.path"),
    ("compare", ["runs=[nowhere]"], "nowhere"),
    ("compare", ["runs=[]"], "runs: name at least one folder"),
    ("selftest", ["num=0"], "num: must be positive, got 0"),
    ("agreement", ["votes=nowhere.csv"], "nowhere"),
    ("import_media", ["kind=folders"], "kind: expected one of folder,"),
    ("import_media", ["source=nowhere"], "nowhere"),
    ("alignment.validate_bounce", ["worlds=[mars]"], "worlds: expected some of tiny,"),
    ("alignment.validate_sound", ["num=0"], "num: must be positive, got 0"),
]


def ended(name, argv, capsys):
    code = run(import_module(f"eval.{name}").main, argv)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", NEEDED)
def test_help_and_print_do_nothing_else(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said, wrong = ended(name, ["--help"], capsys)
    assert (code, wrong) == (0, "")
    assert f"python -m eval.{name}" in said
    assert "  out" in said
    code, said, wrong = ended(name, [*NEEDED[name], "--print"], capsys)
    assert (code, wrong) == (0, "")
    assert "out: " in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NEEDED)
def test_an_unknown_key_is_one_line(name, capsys):
    code, said, wrong = ended(name, [*NEEDED[name], "outt=3"], capsys)
    assert (code, said) == (2, "")
    assert len(wrong.splitlines()) == 1
    assert "outt" in wrong


@pytest.mark.parametrize(("name", "argv", "message"), MISTAKES)
def test_a_typical_mistake_is_one_line(name, argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, wrong = ended(name, [*NEEDED[name], *argv], capsys)
    assert code == 2
    assert len(wrong.splitlines()) == 1
    assert message in wrong


@pytest.mark.parametrize("name", ["selftest", "alignment.validate_bounce", "alignment.validate_sound"])
def test_where_nothing_can_be_written_is_told_before_the_work(name, capsys, tmp_path):
    code, said, wrong = ended(name, [f"out={tmp_path}/nowhere/table.md"], capsys)
    assert (code, said) == (2, "")
    assert wrong.startswith("error: out: no such folder")
