"""What made a run: resolved config, code version, packages, machine and command, written before step 0."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "torchvision", "lightning", "litdata", "omegaconf", "torchmetrics", "numpy", "av")


def _git(*words: str) -> str:
    try:
        result = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""  # a downloaded archive has no git history; the record then says so with an empty string
    return result.stdout.strip()


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, or an empty string where there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def collect() -> dict[str, Any]:
    """Everything needed to repeat a run, as plain JSON values."""
    return {
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "argv": sys.argv,
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changed_files": _git("status", "--porcelain", "--untracked-files=no").splitlines(),
        "lock_sha256": sha256_of(ROOT / "requirements.lock"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def write(run_dir: Path, config_yaml: str) -> None:
    """Write config.yaml, provenance.json and, where the code was changed, code.diff into a run directory.

    A resumed run keeps the records of the earlier starts: provenance.json is a list, newest last.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.yaml").write_text(config_yaml, encoding="utf-8")
    record = collect()
    path = run_dir / "provenance.json"
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    path.write_text(json.dumps([*earlier, record], indent=2), encoding="utf-8")
    if record["git_changed_files"]:
        (run_dir / "code.diff").write_text(_git("diff", "HEAD"), encoding="utf-8")
