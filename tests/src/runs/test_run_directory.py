import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.core import config
from src.core.errors import UserError
from src.experiments.config import AverageConfig as Config
from src.runs import run_directory

CONFIG = config.load(Config, None, ["name=x", "inputs=[a,b]"])
HOLD = """
import sys, time
from pathlib import Path
from filelock import FileLock
run = Path(sys.argv[1])
with FileLock(run / ".lock"):
    (run / ".owner").write_text("4711")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_snapshot_and_provenance_are_there_before_the_run(tmp_path: Path) -> None:
    with run_directory.locked_run_dir(tmp_path / "run", CONFIG) as run:
        assert config.load(Config, run / "config.yaml") == CONFIG
        (record,) = json.loads((run / "provenance.json").read_text())
        assert record["argv"] == sys.argv
        assert record["packages"]["torch"]
        assert len(record["lock_sha256"]) == 64


def test_a_second_start_adds_its_provenance(tmp_path: Path) -> None:
    for _ in range(2):
        with run_directory.locked_run_dir(tmp_path, CONFIG):
            pass
    assert len(json.loads((tmp_path / "provenance.json").read_text())) == 2


def test_directory_in_use_by_another_process_is_refused(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(UserError, match="in use by another process \\(pid 4711\\)"):  # noqa: SIM117
            with run_directory.locked_run_dir(tmp_path, CONFIG):
                pass
    finally:
        holder.communicate("")
    with run_directory.locked_run_dir(tmp_path, CONFIG):  # free again
        assert (tmp_path / ".owner").read_text() == str(os.getpid())


def test_other_settings_in_the_same_place_are_refused(tmp_path: Path) -> None:
    with run_directory.locked_run_dir(tmp_path, CONFIG):
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "step-00000001.ckpt").touch()
    changed = config.load(Config, None, ["name=x", "inputs=[a,c]"])
    with pytest.raises(UserError, match="holds a run with other settings: inputs was"):  # noqa: SIM117
        with run_directory.locked_run_dir(tmp_path, changed):
            pass
    assert config.load(Config, tmp_path / "config.yaml") == CONFIG


def test_a_run_that_failed_before_its_first_result_may_be_corrected(tmp_path: Path) -> None:
    with run_directory.locked_run_dir(tmp_path, CONFIG):
        pass
    changed = config.load(Config, None, ["name=x", "inputs=[a,c]"])
    with run_directory.locked_run_dir(tmp_path, changed):
        assert config.load(Config, tmp_path / "config.yaml") == changed


def test_a_start_that_fails_leaves_nothing_and_a_run_is_kept(tmp_path: Path) -> None:
    def fail(run_dir: Path, *names: str) -> None:
        with run_directory.locked_run_dir(run_dir, CONFIG) as run:
            for name in names:
                (run / name).write_text("")
            raise UserError("no such data set")

    with pytest.raises(UserError, match="no such data set"):
        fail(tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError):
        fail(tmp_path / "with_metrics", "metrics.jsonl")
    assert (tmp_path / "with_metrics" / "metrics.jsonl").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError):
        fail(tmp_path / "mine")
    assert (tmp_path / "mine").exists()
