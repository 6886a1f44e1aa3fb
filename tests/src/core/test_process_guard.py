"""A worker does not outlive the process that started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import multiprocessing, time
from src.core.process_guard import ParentWatchdog

def work(exit_with_parent):
    exit_with_parent()
    time.sleep(60)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    watchdog = ParentWatchdog(context)
    worker = context.Process(target=work, args=(watchdog.exit_with_parent,))
    worker.start()
    print(worker.pid, flush=True)
    time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_of_a_killed_process_ends(tmp_path: Path) -> None:
    (tmp_path / "start.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "start.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as main:
        assert main.stdout is not None
        worker = int(main.stdout.readline())
        time.sleep(0.3)
        assert alive(worker)
        main.send_signal(signal.SIGKILL)
        main.wait()
    deadline = time.monotonic() + 5
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    survived = alive(worker)
    if survived:
        os.kill(worker, signal.SIGKILL)
    assert not survived
