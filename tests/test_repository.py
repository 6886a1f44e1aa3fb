"""The checkout as a whole: every shipped config loads, models stay pure, the command line is what it was."""

import ast
from pathlib import Path

import pytest

from data.bounce.config import PromptsConfig
from data.bounce.prompt_rewriter import RewritingConfig
from data.config import PrepareConfig
from src.core import config
from src.core.config_help import keys
from src.inference.config import ExportConfig, GenerateConfig, ReconstructConfig
from src.registry import EXPERIMENTS, find_experiment
from src.train import DEFAULT

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
SURFACE = ROOT / "tests" / "golden" / "command_line.txt"


def schema_of(path: Path) -> type:
    """The dataclass that a config file fills, by its folder and its `experiment`."""
    tree = config.read([path], [])
    if "experiment" in tree:
        return find_experiment(tree).config
    if path.parent.name == "generate":
        return GenerateConfig
    return PromptsConfig if path.parent.name == "prompts" else PrepareConfig


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT / "configs")))
def test_every_config_loads_and_says_how_to_run_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith("# "), "a config's first line is its command, or what it is"
    if path.parent.name == "hardware":
        for name in ("tae/tiny.yaml", "video/tiny_t2i.yaml"):
            base = ROOT / "configs" / name
            config.build(schema_of(base), config.read([base, path], []))
        return
    if path.parent.name == "paper" and path.stem[-1] == "b":  # a size, put after a stage
        config.build(schema_of(base := path.with_name("t2i_256.yaml")), config.read([base, path], []))
        return
    config.build(schema_of(path), config.read([path], []))


def test_the_default_recipe_names_files_that_exist() -> None:
    recipe = config.load(EXPERIMENTS["recipe"].config, ROOT / DEFAULT)
    for name, stage in recipe.stages.items():
        assert not stage.config or (ROOT / stage.config).is_file(), name


def test_models_flow_and_losses_do_not_know_of_processes() -> None:
    for package in ("models", "flow", "losses"):
        for path in (ROOT / "src" / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
                assert not any(n.startswith("torch.distributed") for n in names), path


def test_the_command_line_changes_only_on_purpose() -> None:
    """Regenerate with: python -m tests.test_repository"""
    assert SURFACE.read_text(encoding="utf-8") == surface(), "keys were added, renamed or removed"


def surface() -> str:
    """Every key of every command, without its default and text."""
    schemas = {name: each.config for name, each in EXPERIMENTS.items()}
    schemas |= {"generate": GenerateConfig, "reconstruct": ReconstructConfig, "export": ExportConfig}
    schemas |= {"prepare": PrepareConfig, "prompts": PromptsConfig, "rewriting": RewritingConfig}
    lines = []
    for name, schema in schemas.items():
        lines += [f"{name}: {key}" for key in keys(schema)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    SURFACE.parent.mkdir(exist_ok=True)
    SURFACE.write_text(surface(), encoding="utf-8")
