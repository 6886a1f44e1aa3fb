"""Measurements of a run that has not finished: after an interruption (also `kill -9`) they are not repeated.

Each process appends a line per sample and metric to a file of its own, as soon as it is measured. The key of
a line covers all that decides the values: the sample and its files, what the metric says of itself, the code
and the packages. Measurements that failed are not kept: their cause may be gone when the run resumes.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Protocol

from eval.core.manifest import MEDIA_KEYS, Sample

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src/core", "data/bounce", "eval")


class Described(Protocol):
    """Parts of a metric that a key covers."""

    name: str

    def describe(self) -> dict[str, Any]: ...


class Journal:
    """The measurements in a folder, and a file there for those of this process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lines: dict[str, tuple[Path, int]] = {}
        self._fingerprints: dict[str, str] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._index(path)
        self.num_found = len(self._lines)
        self._out = (folder / f"{time.time_ns()}-{os.getpid()}.jsonl").open("ab", buffering=0)

    def _index(self, path: Path) -> None:
        offset = 0
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):  # else the process was killed while it wrote the line
                    self._lines[line[:64].decode("ascii")] = path, offset
                offset += len(line)

    def key(self, sample: Sample, root: Path, metric: Described) -> str:
        """Return the key of a sample's measurement, 64 hex digits."""
        if metric.name not in self._fingerprints:
            self._fingerprints[metric.name] = metric_fingerprint(metric.name, metric.describe())
        return measurement_key(sample, root, self._fingerprints[metric.name])

    def find(self, key: str) -> dict[str, Any] | None:
        """Return the fields of an earlier measurement, or None."""
        if key not in self._lines:
            return None
        path, offset = self._lines[key]
        with path.open("rb") as file:
            file.seek(offset)
            return dict(json.loads(file.readline()[65:]))

    def add(self, key: str, measurement: dict[str, Any]) -> None:
        """Write a measurement at once, in a single call, so that it is there if the process is killed."""
        self._out.write(f"{key} {json.dumps(measurement)}\n".encode())

    def close(self) -> None:
        self._out.close()


def measurement_key(sample: Sample, root: Path, metric: str) -> str:
    """Return the key of a sample's measurement, 64 hex digits; `metric` is a `metric_fingerprint`."""
    files = [_file_state(root / path) for key in MEDIA_KEYS if (path := getattr(sample, key)) is not None]
    text = json.dumps([metric, asdict(sample), files], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def metric_fingerprint(name: str, description: dict[str, Any]) -> str:
    """Return a hash of a metric's name and description, the code of the evaluation and the packages."""
    text = json.dumps([name, description, _code_sha256(), _packages()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _file_state(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


@cache
def _code_sha256() -> str:
    digest = hashlib.sha256()
    for path in _code_files():
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _code_files() -> Iterable[Path]:
    return sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py"))


@cache
def _packages() -> list[str]:
    return sorted({f"{each.metadata['Name']} {each.version}" for each in distributions()})
