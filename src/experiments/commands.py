"""Commands of `data` and `eval`, run as processes of their own: `src` imports neither (decision 0002)."""

import os
import subprocess
import sys

from src.errors import UserError
from src.provenance import ROOT


def run_command(words: list[str], lines: str = "") -> str:
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
