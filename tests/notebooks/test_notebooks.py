"""The notebooks: form, imports, and (services) execution on the shipped weights with exercises tried."""

import ast
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_LINES = 30
LIBRARIES = {*sys.stdlib_module_names, "matplotlib", "numpy", "torch"}
OWN = {"src", "data", "eval"}
TIMEOUT_S = 600  # of one cell, on a busy machine
by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def code_cells(path: Path) -> list[str]:
    return [source(cell) for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def solved_exercise(path: Path) -> str:
    """Return the last cell with its answer: one line of it is another."""
    answer = read(path)["metadata"]["moviegen"]["answer"]
    name = answer.partition(" = ")[0]
    lines = code_cells(path)[-1].splitlines()
    [index] = [i for i, line in enumerate(lines) if line.startswith(f"{name} = ")]
    assert lines[index] != answer
    return "\n".join([*lines[:index], answer, *lines[index + 1 :]])


@by_notebook
def test_form(path: Path) -> None:
    notebook = read(path)
    for cell in notebook["cells"]:
        assert len(source(cell).splitlines()) <= MAX_LINES, cell["id"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
    first, exercise, last = notebook["cells"][0], notebook["cells"][-2], notebook["cells"][-1]
    assert source(first).startswith("# ")
    assert source(exercise).startswith("## Exercise")
    assert "solved = " in source(last)
    findings = [cell for cell in code_cells(path) if "assert " in cell]
    assert len(findings) >= 4
    compile(solved_exercise(path), path.name, "exec")


@by_notebook
def test_imports_are_those_of_a_user(path: Path) -> None:
    """Modules of the project, the standard library, three others; no name begins with an underscore."""
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.ImportFrom):
                modules, names = [node.module or ""], [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                modules, names = [alias.name for alias in node.names], []
            else:
                continue
            for name in [part for module in modules for part in module.split(".")] + names:
                assert not name.startswith("_") or name == "__main__", name
            for module in modules:
                assert module.split(".")[0] in LIBRARIES | OWN, module
                if module.split(".")[0] in OWN:
                    place = ROOT / Path(*module.split("."))
                    assert place.with_suffix(".py").is_file() or (place / "__init__.py").is_file(), module


@pytest.mark.services
@by_notebook
def test_execution(path: Path) -> None:
    """Every assertion holds; the exercise is unsolved as it stands, and its answer solves it."""
    nbclient = pytest.importorskip("nbclient", reason="requirements/notebooks.lock is not installed")
    nbformat = pytest.importorskip("nbformat", reason="requirements/notebooks.lock is not installed")
    notebook = nbformat.read(path, 4)
    for text in ("assert not solved", solved_exercise(path), "assert solved"):
        notebook.cells.append(nbformat.v4.new_code_cell(text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's client
        client = nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, kernel_name="python3")
        client.execute(cwd=str(path.parent))
