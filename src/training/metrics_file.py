"""Read `metrics.jsonl`: {"step": ..., name: value, ...} on each line; needs neither torch nor Lightning."""

import json
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"
SECONDS_PER_STEP = "speed/seconds_per_step"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the records of a metrics file; a last line that a crash truncated is left out."""
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def training_seconds(path: Path, steps: int) -> float:
    """Return the seconds that `steps` steps of a run took, waiting for data included; 0 without records.

    Start-up, validation, sample videos and checkpoints are left out. The first step, which also warms up,
    counts like the steps after it; steps after the last record count like those before it.
    """
    rates = [(r["step"], r[SECONDS_PER_STEP]) for r in read_metrics(path) if SECONDS_PER_STEP in r]
    if len(rates) > 1 and rates[0][0] == 1:
        del rates[0]
    total, done, each = 0.0, 0, 0.0
    for step, each in rates:
        total += (step - done) * each
        done = step
    return total + max(steps - done, 0) * each
