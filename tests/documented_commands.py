"""Commands in README, docs and the heads of config files: found, split, and checked without running."""

import contextlib
import importlib
import importlib.util
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from data.bounce.config import PreviewConfig
from src.core import config

ROOT = Path(__file__).resolve().parent.parent
SUBSTITUTES = {  # placeholders of pages that are about any config
    "src.train": "configs/video/tiny_joint.yaml",
    "src.model_summary": "configs/video/tiny_joint.yaml",
    "data.prepare": "configs/data/bounce_tiny.yaml",
}
LAUNCHERS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:srun )?(?:torchrun (?:--\S+ )+-m|python -m) (?P<rest>.+)$")
POSITIONAL = {
    "src.parallel.consolidate",
    "tests.test_docs",
    "tests.test_repository",
    "tests.test_language",
    "pytest",
}


class Command(NamedTuple):
    """One `python -m MODULE ARGUMENTS`, and where it is written."""

    where: str
    module: str
    argv: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: python -m {self.module} {' '.join(self.argv)}"


class Head(NamedTuple):
    """The comment at the top of a config file."""

    command: str  # empty for a file that others extend
    about: str
    time: str
    expected: str


def read_head(path: Path) -> Head:
    """Return the parts of a head: command, description, `Time:`, and at the end `Expected:`."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# "):
            break
        lines.append(line[2:].strip())
    assert lines, f"{path}: a config begins with a comment: its command, or what it is"
    command = lines.pop(0) if lines[0].startswith("python -m ") else ""
    text = " ".join(lines)
    text, _, expected = text.partition("Expected: ")
    text, _, time = text.partition("Time: ")
    return Head(command, text.strip(), time.strip(), expected.strip())


def shell_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each command in fenced blocks (no language, or bash) and in inline code."""
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fence = None if fence is not None else line.strip().removeprefix("```")
        elif fence in ("", "bash"):
            yield number, re.split(r"\s+#\s", line.strip())[0]
    prose = re.sub(r"```.*?```", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
    for match in re.finditer(r"`([^`]+)`", prose):
        yield prose[: match.start()].count("\n") + 1, " ".join(match[1].split())


def split_command(where: str, line: str) -> Command | None:
    """Return the command of a line, or None if it does not start a module of Python."""
    match = LAUNCHERS.match(line)
    if not match:
        return None
    module, *argv = shlex.split(match["rest"])
    return Command(where, module, tuple(argv))


def page_commands(path: Path) -> list[Command]:
    """Return the commands of a Markdown page."""
    name = path.relative_to(ROOT)
    found = (split_command(f"{name}:{n}", line) for n, line in shell_lines(path.read_text(encoding="utf-8")))
    return [command for command in found if command is not None]


def make_targets(path: Path) -> set[str]:
    """Return the targets that a page names by `make TARGET`."""
    lines = [line for _, line in shell_lines(path.read_text(encoding="utf-8"))]
    return {
        target
        for line in lines
        if line.startswith("make ")
        for target in line.split()[1:]
        if "=" not in target
    }


def head_commands(path: Path) -> list[Command]:
    """Return the command of a config file, once with each `key=value` that the rest of its head mentions."""
    head, name = read_head(path), str(path.relative_to(ROOT))
    command = split_command(name, head.command) if head.command else None
    if command is None:
        return []
    text = f"{head.about} {head.time}"
    nested = [c for m in re.findall(r"`([^`]+)`", text) if (c := split_command(name, m))]
    plain = re.sub(r"`[^`]*`|python -m \S+( \S+=\S+| \S+\.yaml)+", " ", text)
    mentioned = re.findall(r"(?<![\w.\[$])([a-z_][\w.]*=[^\s;,)=][^\s;,)]*)", plain)
    own = [Command(name, command.module, (*command.argv, each.rstrip("."))) for each in mentioned]
    return [command, *nested, *own]


def check(command: Command) -> None:
    """Resolve a command's config files and overrides as it would itself; nothing runs.

    Raises:
        AssertionError: no such module or file.
        UserError: an unknown key or a value that its field refuses.
    """
    assert importlib.util.find_spec(command.module), f"{command}: no module {command.module}"
    if command.module in POSITIONAL:
        for path in (a for a in command.argv if a.startswith("tests/")):
            assert (ROOT / path.split("::")[0]).exists(), f"{command}: no file {path}"
        return
    if command.module == "src.parallel.consolidate" or not command.argv:
        return
    argv = [SUBSTITUTES.get(command.module, a) if a in ("CONFIG", "CONFIG.yaml") else a for a in command.argv]
    argv = [re.sub(r"\$\w+", "2", a) for a in argv if a not in ("[key=value", "...]")]
    module = command.module
    for path in (a for a in argv if a.endswith(".yaml") and "=" not in a):
        assert (ROOT / path).is_file(), f"{command}: no file {path}"
    if module == "data.bounce.preview":  # has no --print
        config.build(PreviewConfig, config.read([], [a for a in argv if "=" in a]))
        return
    if module == "src.model_summary":
        module = "src.train"  # the same configs
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module(module).main([*argv, "--print"])
