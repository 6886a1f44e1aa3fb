"""The mutation driver: what is changed, what is drawn, and that a survivor is one that the tests let pass."""

import ast
import json
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import mutant_targets, mutants
from benchmarks.mutant_targets import PARTS, ROOT, TARGETS
from benchmarks.mutations import find_mutations
from src.core.errors import UserError

SOURCE = '''"""Text with 1 < 2."""
LIMIT = 3

def f(x: int, y: int = 2) -> int:
    """Return -1 and 0."""
    assert x > 0, x
    if not x:
        raise ValueError(f"{x + 1} is 1")
    total = x + y if x < LIMIT and y else -y
    total *= 2
    print(total)
    return total
'''


def test_mutations_are_the_expected_ones() -> None:
    found = [(each.line, each.kind, each.before, each.after) for each in find_mutations(SOURCE)]
    assert found == [
        (2, "constant", "3", "(4)"),
        (4, "constant", "2", "(3)"),
        (7, "condition", "not x", "(not (not x))"),
        (7, "sign", "not x", "(x)"),
        (8, "removed", 'raise ValueError(f"{x + 1} is 1")', "pass"),
        (9, "arithmetic", "x + y", "(x - y)"),
        (9, "comparison", "x < LIMIT", "(x <= LIMIT)"),
        (9, "boolean", "x < LIMIT and y", "(x < LIMIT or y)"),
        (9, "condition", "x < LIMIT and y", "(not (x < LIMIT and y))"),
        (9, "sign", "-y", "(y)"),
        (10, "removed", "total *= 2", "pass"),
        (10, "constant", "2", "(3)"),
        (11, "removed", "print(total)", "pass"),
        (12, "return", "return total", "return None"),
    ]


def test_mutations_of_every_target_compile_and_change_the_code() -> None:
    for path in TARGETS:
        source = (ROOT / path).read_text(encoding="utf-8")
        plain = ast.dump(ast.parse(source))
        mutations = find_mutations(source)
        assert mutations, f"{path} has nothing to mutate: remove it from TARGETS"
        for mutation in mutations[:: max(1, len(mutations) // 8)]:
            assert ast.dump(ast.parse(mutation.apply(source))) != plain, (path, mutation)


def test_targets_are_all_files_with_code_and_tests_that_exist() -> None:
    files = {
        str(path.relative_to(ROOT))
        for folder in mutant_targets.FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    missing = {
        path for path in files - set(TARGETS) if find_mutations((ROOT / path).read_text(encoding="utf-8"))
    }
    assert not missing
    assert all((ROOT / test).is_file() for tests in TARGETS.values() for test in tests)


def test_equivalents_name_code_that_exists_and_a_reason() -> None:
    for each in mutants.read_equivalents():
        assert each["why"]
        lines = (ROOT / each["file"]).read_text(encoding="utf-8").splitlines()
        assert any(line.strip() == each["in"] for line in lines), each


def test_the_sample_has_some_of_each_file_and_is_seeded() -> None:
    everything = mutants.all_mutants(PARTS["model"])
    sample = mutants.draw_sample(everything, 400, 5, seed=0)
    assert len(set(sample)) == len(sample) == 400
    assert (
        sample
        == mutants.draw_sample(everything, 400, 5, seed=0)
        != mutants.draw_sample(everything, 400, 5, seed=1)
    )
    for path, each in everything.items():
        assert sum(mutant.path == path for mutant in sample) >= min(5, len(each))
    # one file's mutants do not change which ones are drawn of another
    fewer = {path: each for path, each in everything.items() if path != "src/flow/path.py"}
    assert set(mutants.draw_sample(fewer, 1, 5, seed=0)) <= set(sample)
    # nor does a changed line change which ones are drawn of the others
    path, before = "src/flow/path.py", mutants.draw_sample(everything, 1000, 0, seed=0)
    line = before[0].source_line if before[0].path == path else everything[path][0].source_line
    changed = {**everything, path: [each for each in everything[path] if each.source_line != line]}
    after = mutants.draw_sample(changed, 1000, 0, seed=0)
    assert all((each.path, each.source_line) == (path, line) for each in set(before) - set(after))
    assert len(set(after)) == len(set(before)) == 1000


@pytest.fixture
def toy_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one file, with a test of one of its two functions."""
    (tmp_path / "toy.py").write_text("def twice(x):\n    return x * 2\n\n\ndef half(x):\n    return x / 2\n")
    (tmp_path / "test_toy.py").write_text("import toy\n\ndef test_it():\n    assert toy.twice(3) == 6\n")
    mutants.subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.setattr(mutants, "LIBRARIES", ())
    monkeypatch.setattr(mutants, "EQUIVALENTS", tmp_path / "equivalents.json")
    monkeypatch.setattr(mutants, "TARGETS", {"toy.py": ("test_toy.py",)})
    monkeypatch.setattr(mutants, "PARTS", {"model": {"toy.py": ("test_toy.py",)}})
    monkeypatch.setitem(mutants.Worker.run_tests.__globals__, "TARGETS", {"toy.py": ("test_toy.py",)})
    change = {"file": "toy.py", "in": "return x / 2", "change": "2 -> (3)", "why": "for the test"}
    (tmp_path / "equivalents.json").write_text(json.dumps([change]))
    return tmp_path


def test_survivors_are_those_the_tests_let_pass(
    toy_checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [f"out={toy_checkout}/out/mutants.jsonl", "num_workers=1"]
    mutants.main(args)
    report = capsys.readouterr().out.splitlines()[6:]
    assert report[:2] == [
        "toy.py:6: return: return x / 2 -> return None",
        "toy.py:6: arithmetic: x / 2 -> (x * 2)",
    ]
    assert report[-1] == "2 of 5 survive: 40.0 % [11.8, 76.9], the goal is at most 10 %"
    assert "return x * 2" in (toy_checkout / "toy.py").read_text()
    # all known: nothing is tested again; a changed file is
    mutants.main(args)
    assert capsys.readouterr().out.splitlines()[1:] == report
    (toy_checkout / "toy.py").write_text("def twice(x):\n    return x + x\n")
    mutants.main(args)
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 of 2 survive")


def test_the_tests_that_enter_the_function_run_first(toy_checkout: Path) -> None:
    (toy_checkout / "test_toy.py").write_text(
        "import time, toy\n\ndef test_other():\n    assert toy.half(2) == 1\n"
        "\ndef test_slow():\n    time.sleep(0.2)\n    assert toy.twice(3) == 6\n"
        "\ndef test_it():\n    assert toy.twice(3) == 6\n"
    )
    with closing(mutants.Worker(toy_checkout.parent / "copy")) as worker:
        outcome, tests, _ = worker.record_tests("toy.py")
        mutant = next(each for each in mutants.all_mutants(["toy.py"])["toy.py"] if each.line == "2 -> (3)")
        first = mutants.entering_tests(mutant, tests)
        assert (outcome, first) == ("passed", ["test_toy.py::test_it", "test_toy.py::test_slow"])
        (worker.folder / "test_toy.py").write_text("def test_a(): pass\n\ndef test_b(): assert False\n")
        assert worker.test(mutant, 60.0, ["test_toy.py::test_b"]) == "failed"


def test_a_mutant_that_never_ends_is_noticed(toy_checkout: Path) -> None:
    (toy_checkout / "test_toy.py").write_text(
        "import time, toy\n\ndef test_it():\n    time.sleep(toy.twice(3) - 6)\n"
    )
    mutant = next(each for each in mutants.all_mutants(["toy.py"])["toy.py"] if each.line == "2 -> (3)")
    with closing(mutants.Worker(toy_checkout.parent / "copy")) as worker:
        assert worker.test(mutant, limit=2.0) == "timeout"
        ending = "import pytest, toy\n\nif toy.twice(3) != 6:\n    pytest.exit('at once', 4)\n"
        (worker.folder / "test_toy.py").write_text(ending + "\ndef test_it(): pass\n")
        assert worker.test(mutant, limit=60.0) == "failed"


def test_files_whose_own_tests_fail_are_reported_and_the_others_measured(
    toy_checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (toy_checkout / "broken.py").write_text("def half(x):\n    return x / 2\n")
    (toy_checkout / "test_broken.py").write_text("def test_it():\n    assert False\n")
    tests = {"toy.py": ("test_toy.py",), "broken.py": ("test_broken.py",)}
    monkeypatch.setitem(mutants.Worker.run_tests.__globals__, "TARGETS", tests)
    monkeypatch.setattr(mutants, "PARTS", {"model": tests})
    args = [f"out={toy_checkout}/out.jsonl", "num_workers=1"]
    for _ in range(2):  # they are tried again
        with pytest.raises(UserError, match=r"their tests fail without a mutant: broken\.py"):
            mutants.main(args)
        assert "2 of 5 survive" in capsys.readouterr().out
    assert len(mutants.read_outcomes(toy_checkout / "out.jsonl")) == 5


@pytest.mark.long
def test_a_trial_of_the_real_table(tmp_path: Path) -> None:
    """The tests of the path of the flow notice at least 16 of 20 mutants."""
    mutants.main([f"out={tmp_path}/mutants.jsonl", "num=20", "per_file=0", "only=src/flow/p"])
    outcomes = list(mutants.read_outcomes(tmp_path / "mutants.jsonl").values())
    assert len(outcomes) == 20
    assert outcomes.count("passed") <= 4
