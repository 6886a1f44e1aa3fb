"""Provenance of a run, written before step 0: resolved config, code version, packages, machine, command."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from src.core.hashing import file_sha256

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src", "data", "eval")  # folders whose files decide what a run computes
PACKAGES = ("torch", "torchvision", "lightning", "litdata", "omegaconf", "torchmetrics", "numpy", "av")


def _git(*args: str) -> str:
    try:
        result = subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""  # a downloaded archive has no git history: the entry is then empty
    return result.stdout.strip()


def collect() -> dict[str, Any]:
    """Return everything needed to repeat a run, as plain JSON values."""
    lock = ROOT / "requirements.lock"
    return {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed_files": _git("status", "--porcelain", "--untracked-files=no").splitlines(),
        "lock_sha256": file_sha256(lock) if lock.is_file() else "",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
    }


def code_state() -> dict[str, Any]:
    """Return the version of the code: the commit, and a hash of every source file that differs from it."""
    status = _git("status", "--porcelain", "--untracked-files=all", "--", *CODE).splitlines()
    paths = [ROOT / line[2:].split(" -> ")[-1].strip() for line in status]
    changed = {str(path.relative_to(ROOT)): file_sha256(path) if path.is_file() else "" for path in paths}
    return {"commit": _git("rev-parse", "HEAD"), "changed": changed}


def changed_code(before: dict[str, Any]) -> list[str]:
    """Return the source files that differ from an earlier `code_state`; none if there is no git history."""
    now = code_state()
    if not before.get("commit") or not now["commit"]:
        return []
    between = _git("diff", "--name-only", before["commit"], now["commit"], "--", *CODE).splitlines()
    edited = before["changed"].keys() | now["changed"].keys()
    return sorted({*between, *(f for f in edited if before["changed"].get(f) != now["changed"].get(f))})


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def write(run_dir: Path, config_yaml: str) -> None:
    """Write config.yaml, provenance.json and, where the code was changed, code.diff into a run directory.

    A resumed run keeps the entries of earlier starts: provenance.json is a list, newest last.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(config_yaml, encoding="utf-8")
    record = collect()
    path = run_dir / "provenance.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    path.write_text(json.dumps([*earlier, record], indent=2), encoding="utf-8")
    if record["git_changed_files"]:
        (run_dir / "code.diff").write_text(_git("diff", "HEAD"), encoding="utf-8")
