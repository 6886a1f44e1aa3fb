"""Plugin of pytest: record which functions each test enters, and run some tests first.

`MUTANT_RECORD=FILE`: writes, for each test, its seconds and [file, first line] of the checkout's functions
that it entered (in this process). `MUTANT_ORDER=FILE`: runs the tests named there (a JSON list) first.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import CodeType, FrameType

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
