"""Commands of this project as steps of a longer run: each in a process of its own, each done once.

`src` imports neither `eval` nor `data`; here they are started by name, as a person would start them.
"""

import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from src.core.config import flat_settings
from src.core.errors import UserError
from src.core.provenance import ROOT

Command = Literal["prepare", "prompts", "train", "generate", "reconstruct", "score"]
MODULES: dict[Command, str] = {
    "prepare": "data.prepare",
    "prompts": "data.bounce.prompts",
    "train": "src.train",
    "generate": "src.generate",
    "reconstruct": "src.reconstruct",
    "score": "eval.run",
}
PRELOADED = ["src.runs.tae", "src.experiments.encode_latents", "src.runs.video"]


def settings(tree: dict[str, Any]) -> list[str]:
    """Nested or dotted settings as words of a command line: key.key=value."""
    return [f"{key}={_word(value)}" for key, value in _dotted(tree, "")]


def _dotted(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(_word(v) for v in value) + "]"
    if value is None or value == "":
        return "null" if value is None else "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def once(record: Path, name: str, words: list[str], folder: Path) -> float | None:
    """Run `python -m WORDS` unless `record` says that it ended before; then write the record.

    Args:
        name: what the step is called in messages.
        folder: what is to be removed for another try with other settings.

    Returns:
        Seconds; None if it had been done.

    Raises:
        UserError: it ended before with other settings, or it fails.
    """
    if finished(record, name, words, folder):
        return None
    given = flat_settings(words[1:])  # as they are now: a file may be edited while the command runs
    seconds = execute(name, words)
    record.parent.mkdir(parents=True, exist_ok=True)
    told = {"command": words, "settings": given, "seconds": round(seconds, 1)}
    record.write_text(json.dumps(told, indent=2))
    return seconds


def finished(record: Path, name: str, words: list[str], folder: Path) -> bool:
    """True if the record says that the step ended with the same settings, and its result is still there.

    Settings are those of the command's config files and overrides together.

    Raises:
        UserError: it ended with other settings, or the record is older than they are; what follows it would
            mix old results with new ones.
    """
    if not record.is_file():
        return False
    old, new = json.loads(record.read_text()).get("settings", {}), flat_settings(words[1:])
    if old == new:
        places = [str(new[key]) for key in ("run_dir", "out") if new.get(key)]
        return all(Path(place).exists() for place in places if "${" not in place)
    changed = [f"now {key}={_word(value)}" for key, value in new.items() if value != old.get(key, ...)]
    changed += [f"was {key}={_word(value)}" for key, value in old.items() if key not in new]
    raise UserError(
        f"{name} was finished with other settings ({changed[0]}); give another run_dir=... or remove {folder}"
    )


def execute(name: str, words: list[str]) -> float:
    """Run one command in a process of its own, so that its memory and its failures stay its own; seconds.

    Processes are forked from one server that has the slow imports done: several seconds less for each.
    """
    started = time.perf_counter()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_module, args=(words,))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join()  # the command got the same Ctrl-C and is writing its checkpoint
        raise
    if process.exitcode == 2:
        raise UserError(f"{name} stopped (see the line above); mend it and start again")
    if process.exitcode != 0:
        raise UserError(f"{name} ended with exit code {process.exitcode}; start again to go on from there")
    return time.perf_counter() - started


def _module(words: list[str]) -> None:
    """`python -m MODULE WORDS...` in this process."""
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def answer(words: list[str], lines: str = "") -> str:
    """What `python -m WORDS...` prints, run in the checkout; paths in the words must be absolute.

    Args:
        lines: its standard input.

    Raises:
        UserError: it ended with an error; the message holds the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", *words],
        input=lines.encode(),
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    if done.returncode:
        raise UserError(f"python -m {words[0]}: {' '.join(done.stderr.decode().split())[-300:]}")
    return done.stdout.decode()
