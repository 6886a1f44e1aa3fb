"""Commands of this project as steps of a longer run: each in its own process, each run once.

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

from src.core import provenance
from src.core.config import flat_settings
from src.core.errors import UserError
from src.runs.run_directory import refuse_changed_settings

Command = Literal[
    "prepare", "prompts", "audio_prompts", "train", "generate", "reconstruct", "score", "borders",
    "text_to_audio", "video_to_audio", "rank", "page", "plan", "compare",
]  # fmt: skip
MODULES: dict[Command, str] = {
    "prepare": "data.prepare",
    "prompts": "data.bounce.prompts",
    "train": "src.train",
    "generate": "src.generate",
    "reconstruct": "src.reconstruct",
    "score": "eval.run",
    "audio_prompts": "data.bounce.audio_prompts",
    "borders": "eval.bounce_checker.window_borders",
    "text_to_audio": "eval.bounce_checker.text_to_audio",
    "video_to_audio": "eval.bounce_checker.video_to_audio",
    "rank": "eval.rank",
    "page": "eval.video_page",
    "plan": "src.plan",
    "compare": "eval.compare",
}
# Imported once in the fork server, so that each step starts several seconds sooner.
PRELOADED = ["src.experiments.tae", "src.experiments.encode_latents", "src.experiments.video"]


def to_overrides(tree: dict[str, Any]) -> list[str]:
    """Return nested or dotted settings as command-line overrides: key.key=value."""
    return [f"{key}={_text(value)}" for key, value in _dotted(tree, "")]


def _dotted(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(_text(v) for v in value) + "]"
    if value is None or value == "":
        return "null" if value is None else "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def run_once(record: Path, name: str, argv: list[str], folder: Path) -> float | None:
    """Run `python -m ARGV` unless `record` says that it completed before; then write the record.

    Args:
        name: the step's name in messages.
        folder: the directory to remove before another try with other settings.

    Returns:
        Seconds; None if it had completed before.

    Raises:
        UserError: it completed before with other settings, or it fails.
    """
    if is_done(record, name, argv, folder):
        return None
    settings, code = (
        flat_settings(argv[1:]),
        provenance.code_state(),
    )  # before it runs: files may be edited meanwhile
    seconds = execute(name, argv)
    record.parent.mkdir(parents=True, exist_ok=True)
    entry = {"command": argv, "settings": settings, "seconds": round(seconds, 1), "code": code}
    record.write_text(json.dumps(entry, indent=2))
    return seconds


def is_done(record: Path, name: str, argv: list[str], folder: Path) -> bool:
    """True if the record says that the step completed with the same settings and its result still exists.

    Settings are those of the command's config files and overrides together.

    Raises:
        UserError: it completed with other settings; later steps would mix old results with new ones.
    """
    if not record.is_file():
        return False
    old, new = json.loads(record.read_text()).get("settings", {}), flat_settings(argv[1:])
    refuse_changed_settings(
        old,
        new,
        message=f"{name} already completed with different settings",
        advice=f"give another run_dir=... or remove {folder}",
    )
    outputs = [str(new[key]) for key in ("run_dir", "out") if new.get(key)]
    return all(Path(path).exists() for path in outputs if "${" not in path)


def code_note(record: Path) -> str:
    """Return one line if the code has changed since the step completed, else an empty string."""
    changed = provenance.changed_code(json.loads(record.read_text()).get("code", {}))
    if not changed:
        return ""
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    advice = "name=NEW starts a run with today's code"
    return f"completed with other code ({changed[0]}{more} changed since); {advice}"


def execute(name: str, argv: list[str]) -> float:
    """Run one command in its own process, so that its memory and failures stay separate; return seconds.

    Processes are forked from one server that has done the slow imports already.
    """
    started = time.perf_counter()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_run_module, args=(argv,))
    process.start()
    try:
        process.join()
    except KeyboardInterrupt:
        process.join()  # the command got the same Ctrl-C and is writing its checkpoint
        raise
    if process.exitcode == 2:
        raise UserError(f"{name} failed (see above); fix and re-run")
    if process.exitcode != 0:
        raise UserError(f"{name} exited with code {process.exitcode}; re-run to resume")
    return time.perf_counter() - started


def _run_module(argv: list[str]) -> None:
    """Do what `python -m MODULE ARGS...` does, in this process."""
    sys.argv = argv
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def capture_output(argv: list[str], stdin: str = "") -> str:
    """Return what `python -m ARGV...` prints, run in the checkout; paths in `argv` must be absolute.

    Raises:
        UserError: it failed; the message holds the end of its error output.
    """
    done = subprocess.run(
        [sys.executable, "-m", *argv],
        input=stdin.encode(),
        capture_output=True,
        cwd=provenance.ROOT,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    if done.returncode:
        raise UserError(f"python -m {argv[0]}: {' '.join(done.stderr.decode().split())[-300:]}")
    return done.stdout.decode()
