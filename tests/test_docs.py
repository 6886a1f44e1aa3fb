"""Pages and config files say what is true: commands resolve, paths exist, configs/README.md is up to date.

python -m tests.test_docs    # write configs/README.md from the heads of the config files
"""

import re
from pathlib import Path

import pytest

from data.config import PrepareConfig
from src.core import config
from src.core.config_help import keys
from src.core.errors import UserError
from src.experiments.config import RecipeConfig
from src.experiments.recipe import stage_argv
from src.inference.config import GenerateConfig, ReconstructConfig
from src.inference.generate_audio_config import GenerateAudioConfig
from src.registry import EXPERIMENTS, find_experiment
from src.runs.steps import to_overrides
from src.studies.ablation.config import AblationConfig
from tests.fixtures.documented_commands import (
    Command,
    check,
    head_commands,
    make_targets,
    page_commands,
    read_head,
    shell_lines,
)

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
GPU_RECIPES = [f"recipes/{name}" for name in ("gpu_16gb", "gpu_24gb", "gpu_80gb", "node_8x80gb")]
RECIPES = [
    ROOT / "configs" / f"{name}.yaml"
    for name in ("recipes/tiny", "recipes/small", "debug/recipe", *GPU_RECIPES)
]
NAMES = ("ablations/audio", "ablations/tae", "ablations/tae_real", "ablations/video", "debug/ablation")
ABLATIONS = [ROOT / "configs" / f"{name}.yaml" for name in NAMES]
INDEX = ROOT / "configs" / "README.md"
FOLDERS = ("src", "data", "eval", "play", "notebooks", "tests", "benchmarks", "configs", "docs")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_of_a_page_resolve(page: Path) -> None:
    for command in page_commands(page):
        try:
            check(command)
        except UserError as error:
            pytest.fail(f"{command}\n{error}")


@pytest.mark.parametrize("path", CONFIGS, ids=page_id)
def test_commands_and_settings_of_a_head_resolve(path: Path) -> None:
    commands = head_commands(path)
    for command in commands:
        try:
            check(command)
        except UserError as error:
            pytest.fail(f"{command}\n{error}")
    assert not commands or page_id(path) in commands[0].argv, "the first line is the command of this file"


@pytest.mark.parametrize("path", [p for p in CONFIGS if not read_head(p).command], ids=page_id)
def test_a_file_without_a_command_is_part_of_a_run(path: Path) -> None:
    tree = config.read([path], [])
    if "experiment" not in tree:  # a section, which stages extend
        assert any(f"extends: {path.name}" in each.read_text() for each in path.parent.glob("*.yaml"))
        return
    config.build(find_experiment(tree).config, tree)


@pytest.mark.parametrize("path", RECIPES, ids=page_id)
def test_stages_of_a_recipe_resolve(path: Path) -> None:
    recipe = config.load(RecipeConfig, path)
    for name, stage in recipe.stages.items():
        module, *argv = stage_argv(recipe, name, stage)
        check(Command(f"{page_id(path)}: {name}", module, tuple(argv)))


@pytest.mark.parametrize("path", ABLATIONS, ids=page_id)
def test_stages_of_an_ablation_resolve(path: Path) -> None:
    ablation = config.load(AblationConfig, path)
    for name, variant in ablation.variants.items():
        overrides = [*to_overrides(ablation.set), *to_overrides(variant.set)]
        for stage in variant.stages:
            check(Command(f"{page_id(path)}: {name}", "src.train", (stage, *overrides)))
        for each in (ablation.measure.generate_overrides, variant.generate_overrides):
            run = "run=runs/audio/RUN" if ablation.measure.videos else "run=RUN"
            argv = [ablation.measure.generate, run, *to_overrides(each)]
            check(Command(f"{page_id(path)}: {name}", "src.generate", tuple(filter(None, argv))))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("configs/paper/average.yaml greedy=true", "unknown key greedy"),
        ("configs/video/tiny_joint.yaml train.max_step=1", "did you mean train.max_steps"),
        ("configs/video/tiny_t2i.yaml train.max_steps=0", "max_steps must be at least 1"),
    ],
)
def test_a_stale_command_is_found(line: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(Command("here", "src.train", tuple(line.split())))


def test_a_stale_setting_in_a_head_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "average.yaml"
    path.write_text(
        "# python -m src.train average.yaml\n# The mean; greedy=true keeps those that help.\ninputs: [a]\n"
    )
    monkeypatch.setattr("tests.fixtures.documented_commands.ROOT", tmp_path)
    assert head_commands(path)[1].argv == ("average.yaml", "greedy=true")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_and_links_of_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for node in re.findall(r'\["(src/[\w/]+(?:\.py)?)', text):  # of a diagram
        assert (ROOT / node).exists(), f"no file {node}"
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for name in re.findall(r"`((?:\w+/)+[\w./*-]*)`", text):
        if name.split("/")[0] in FOLDERS:
            assert list(ROOT.glob(name.rstrip("/"))), f"no file {name}"
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert "://" in link or (page.parent / link).exists(), f"broken link {link}"


def known_keys() -> re.Pattern[str]:
    """Return a pattern of the keys of training, generation and preparation, and of their prefixes."""
    schemas = [each.config for each in EXPERIMENTS.values()]
    patterns = set()
    for schema in (*schemas, GenerateConfig, GenerateAudioConfig, ReconstructConfig, PrepareConfig):
        for key in keys(schema):
            parts = key.split(".")
            patterns |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return re.compile("|".join(re.escape(each).replace("NAME", r"[\w*]+") for each in patterns))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_that_a_page_names_exist(page: Path) -> None:
    known = known_keys()
    groups = "train|model|transformer|flow|losses|features|discriminator|data|tiling|sampler|measure|files"
    for key in re.findall(rf'`"?((?:{groups})\.\w[\w.*]*)[=`]', page.read_text(encoding="utf-8")):
        is_file = (ROOT / f"{key.replace('.', '/')}.py").exists() or key.endswith((".py", ".*", ".sbatch"))
        assert is_file or known.fullmatch(key), f"no setting {key}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_lists_are_quoted(page: Path) -> None:
    """zsh takes `key=[a]` for a pattern and stops; `"key=[a]"` works in every shell."""
    for line, text in shell_lines(page.read_text(encoding="utf-8")):
        assert not re.search(r'(?<!["\w.])[\w.]+=\[', text), f"{page}:{line}: {text}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_imports_of_python_examples_resolve(page: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith(("from ", "import ")):
                exec(line, {})


def test_make_targets_of_pages_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for page in PAGES:
        assert make_targets(page) <= known, page


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_lines_are_wrapped(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in text.splitlines():
        assert len(line) <= 120 or line.startswith(("|", "!")) or "`" in line, line


@pytest.mark.parametrize("path", CONFIGS, ids=page_id)
def test_a_name_is_the_file_s(path: Path) -> None:
    """`name` is the path below configs/ without .yaml, or the stem: `runs/tiny` of a recipe."""
    name = str(config.read([path], []).get("name", ""))
    if name:
        assert name in (str(path.relative_to(ROOT / "configs").with_suffix("")), path.stem)


def index() -> str:
    """Return the table of all config files, made from their heads."""
    lines = [
        "# Configs",
        "",
        "Made from the heads of the files by `python -m tests.test_docs`; a test compares. Commands run from",
        'the checkout with `.venv` active. An empty column was not measured; "not run" means exactly that.',
    ]
    folder = None
    for path in sorted(CONFIGS, key=lambda p: (str(p.parent), p.name)):
        if path.parent != folder:
            folder = path.parent
            header = ["", f"## {folder.relative_to(ROOT)}", "", "| file | what | command | time | expected |"]
            lines += [*header, "|---|---|---|---|---|"]
        head = read_head(path)
        about = head.about.split(". ")[0].rstrip(".:")
        command = f"`{head.command}`" if head.command else "(part of others)"
        time, expected = head.time, head.expected
        if head.command and not time and not expected:
            time = "not run"
        cells = [f"`{path.name}`", about, command, time, expected]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def test_the_index_of_configs_is_up_to_date() -> None:
    assert INDEX.read_text(encoding="utf-8") == index(), "run: python -m tests.test_docs"


if __name__ == "__main__":
    INDEX.write_text(index(), encoding="utf-8")
