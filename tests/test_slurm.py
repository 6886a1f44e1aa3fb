"""The Slurm scripts with stand-ins for Slurm's commands: which processes start, when a job is requeued."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "slurm" / "train.sbatch"
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then echo node-a; echo node-b; else echo "$@" >> "$LOG"; fi
"""
SRUN = """#!/bin/bash
shift  # --kill-on-bad-exit=0
echo "$MASTER_ADDR:$MASTER_PORT $@" >> "$LOG"
exec $STAND_IN
"""


def submit(
    folder: Path, stand_in: str, signal_after: str = "", script: Path = SCRIPT
) -> tuple[int, list[str]]:
    """Run the script as Slurm would; returns its exit code and what it called.

    Args:
        stand_in: what runs in place of the tasks.
        signal_after: a line of the log after which the script and its tasks get SIGUSR1.
    """
    tools = folder / "bin"
    tools.mkdir()
    for name, text in (("scontrol", SCONTROL), ("srun", SRUN)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    log = folder / "log"
    job = {
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_NNODES": "2",
        "SLURM_SUBMIT_DIR": str(folder),
    }
    env = os.environ | job | {"PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log), "STAND_IN": stand_in}
    process = subprocess.Popen(
        ["bash", str(script), "configs/paper/t2i_256.yaml", "train.max_steps=5"],
        env=env,
        start_new_session=True,
    )
    try:
        if signal_after:
            deadline = time.monotonic() + 60
            while signal_after not in (log.read_text() if log.is_file() else ""):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGUSR1)
        code = process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return code, log.read_text().splitlines()


def test_every_gpu_of_the_job_gets_a_task_of_one_run(tmp_path: Path) -> None:
    code, calls = submit(tmp_path, "true")
    assert code == 0
    assert calls == [
        "node-a:29500 python -m src.train configs/paper/t2i_256.yaml train.max_steps=5 "
        "configs/hardware/slurm.yaml train.parallel.num_devices=8 train.parallel.num_nodes=2"
    ]


def test_every_gpu_of_the_job_encodes(tmp_path: Path) -> None:
    code, calls = submit(tmp_path, "true", script=SCRIPT.with_name("encode_latents.sbatch"))
    assert code == 0
    assert calls == ["node-a:29500 python -m src.train configs/paper/t2i_256.yaml train.max_steps=5"]


@pytest.mark.parametrize("code", [75, 2])
def test_a_job_is_requeued_if_its_run_asks_for_it_and_not_after_a_mistake(tmp_path: Path, code: int) -> None:
    found, calls = submit(tmp_path, str(_exits(tmp_path, code)))
    assert found == code
    assert ("requeue 17" in calls) == (code == 75)


def test_a_signal_reaches_the_tasks_and_the_script_waits_for_them(tmp_path: Path) -> None:
    program = tmp_path / "task.py"
    program.write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: (time.sleep(0.3), sys.exit(75)))\n"
        "open(os.environ['LOG'], 'a').write('ready\\n')\n"
        "time.sleep(60)\n"
    )
    code, calls = submit(tmp_path, f"{sys.executable} {program}", signal_after="ready")
    assert code == 75
    assert calls[-1] == "requeue 17"


def _exits(folder: Path, code: int) -> Path:
    path = folder / "task"
    path.write_text(f"#!/bin/bash\nexit {code}\n")
    path.chmod(0o755)
    return path
