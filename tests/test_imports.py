"""Imports that import-linter cannot check: cycles through functions, torch-free help, empty packages."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "torchvision", "lightning", "litdata", "torchmetrics")
ENTRY_POINTS = (
    "src.train",
    "src.generate",
    "src.reconstruct",
    "src.export",
    "src.model_summary",
    "src.plan",
    "src.doctor",
    "play",
    "data.prepare",
    "data.curate",
    "data.curation.validate",
    "data.bounce.prompts",
    "data.bounce.audio_prompts",
    "eval.rank",
    "eval.judge",
    "eval.correlate",
    "eval.sanity.degraded",
    "eval.video_page",
    "data.bounce.prompt_rewriter",
    "data.bounce.preview",
    "data.vizdoom.export",
    "eval.run",
    "eval.compare",
    "eval.build_manifest",
    "eval.human.agreement",
    "eval.sanity.run",
    "eval.bounce_checker.validate",
    "eval.bounce_checker.validate_audio",
    "eval.bounce_checker.compare_audio",
    "eval.bounce_checker.video_impacts",
)
WITHOUT_TORCH = ("src/core", "eval/human")
BLOCK = f"import sys; sys.modules.update(dict.fromkeys({HEAVY!r})); "


def run_without_torch(code: str) -> None:
    """Run code in an interpreter in which none of the heavy packages can be imported."""
    done = subprocess.run([sys.executable, "-c", BLOCK + code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def modules_in(*folders: str) -> list[str]:
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    paths = [path for path in paths if "migrations" not in path.parts]  # run by Alembic, not imported
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]


def test_core_and_human_studies_run_without_torch() -> None:
    names = modules_in(*WITHOUT_TORCH)
    assert len(names) > 10
    run_without_torch("import " + ", ".join(name.removesuffix(".__init__") for name in names))


def test_configs_import_neither_torch_nor_lightning() -> None:
    names = [name for name in modules_in("src") if name.split(".")[-1].endswith("config")]
    assert len(names) > 10
    run_without_torch("import src.registry, " + ", ".join(names))


@pytest.mark.parametrize("module", ENTRY_POINTS)
def test_help_imports_neither_torch_nor_lightning(module: str) -> None:
    """Importing them takes seconds; help must come at once."""
    run_without_torch(
        f"import runpy; sys.argv = [{module!r}, '--help']; runpy.run_module({module!r}, run_name='__main__')"
    )


def test_an_error_in_a_setting_is_reported_before_lightning_is_imported() -> None:
    run_without_torch(
        "from src import train; from src.core.errors import UserError\n"
        "try: train.main(['configs/video/tiny_t2i.yaml', 'train.max_stepz=1'])\n"
        "except UserError as error: assert 'did you mean train.max_steps?' in str(error)\n"
        "else: raise SystemExit('accepted')"
    )


DEFERRING = {
    # subcommands of eval.human: scipy and matplotlib take a second
    *(f"eval/human/{name}.py" for name in ("coverage", "demo/run", "extend", "plan", "power", "report")),
    "data/sources/scan.py",  # pyarrow is optional
    "data/sources/stored_media.py",  # pyarrow
    "data/curation/audio_events.py",  # torch, in worker processes only
}


def test_imports_inside_functions_defer_heavy_or_optional_packages_only() -> None:
    """Such an import of our own would hide a cycle; entry points defer what --help does not need."""
    deferring = {"src/registry.py", *(f"{name.replace('.', '/')}.py" for name in ENTRY_POINTS)} | DEFERRING
    found = []
    for folder in ("src", "data", "eval"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
            for node in (node for function in functions for node in ast.walk(function)):
                module = node.module if isinstance(node, ast.ImportFrom) else None
                own = module is not None and module.split(".")[0] in ("src", "data", "eval")
                if own and name not in deferring:
                    found.append(f"{name}:{node.lineno} {module}")
    assert not found
