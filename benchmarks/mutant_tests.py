"""Run pytest again and again in forks of one process that has imported the large libraries already.

As a program it reads jobs from standard input (JSON lines: args, env, output, limit) and answers each with
code and seconds; a code of null means that the limit was reached.

As a plugin of pytest it records which functions each test enters, and runs some tests first.
`MUTANT_RECORD=FILE`: writes, for each test, its seconds and [file, first line] of the checkout's functions
that it entered (in this process). `MUTANT_ORDER=FILE`: runs the tests named there (a JSON list) first.
"""

import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

ROOT = os.getcwd() + os.sep
records: dict[str, dict[str, object]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Record the functions that a test and its fixtures enter."""
    if "MUTANT_RECORD" not in os.environ:
        return (yield)
    entered: dict[int, CodeType] = {}

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            entered[id(frame.f_code)] = frame.f_code

    started = time.perf_counter()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        return (yield)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        functions = sorted(
            (code.co_filename.removeprefix(ROOT), code.co_firstlineno)
            for code in entered.values()
            if code.co_filename.startswith(ROOT)
        )
        seconds = time.perf_counter() - started
        records[item.nodeid] = {"seconds": seconds, "functions": functions}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of `MUTANT_ORDER` first."""
    if "MUTANT_ORDER" in os.environ:
        names = json.loads(Path(os.environ["MUTANT_ORDER"]).read_text(encoding="utf-8"))
        rank = {name: number for number, name in enumerate(names)}
        items.sort(key=lambda item: rank.get(item.nodeid, len(rank)))


def pytest_sessionfinish() -> None:
    """Write the records."""
    if "MUTANT_RECORD" in os.environ:
        Path(os.environ["MUTANT_RECORD"]).write_text(json.dumps(records), encoding="utf-8")


def serve() -> None:
    """Import the modules named on the command line, and answer jobs until standard input ends."""
    sys.path[0] = os.getcwd()
    sys.path.append(str(Path(__file__).parent))
    for name in sys.argv[1:]:
        with suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        job = json.loads(line)
        started = time.monotonic()
        if (child := os.fork()) == 0:
            _run(job)
        code = _wait(child, job["limit"])
        print(json.dumps({"code": code, "seconds": time.monotonic() - started}), flush=True)


def _run(job: dict[str, Any]) -> None:
    """Be the child: a session of its own, so that the processes that the tests start end with it."""
    os.setsid()
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(job["env"])
    code = 3
    try:
        code = int(pytest.main(job["args"]))
        sys.stdout.flush()
    finally:
        os._exit(code)


def _wait(child: int, limit: float | None) -> int | None:
    """Return the exit code of a child, or None if it took too long; end what is left of its session."""
    end, code = None if limit is None else time.monotonic() + limit, None
    while end is None or time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if code is None:
        os.waitpid(child, 0)
    return code


if __name__ == "__main__":
    serve()
