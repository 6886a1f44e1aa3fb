"""Matched training time: how many steps a run gets to train for as many seconds as another one.

Seconds are those of training steps (`metrics_file.training_seconds`): validation, checkpoints, samples and
start-up do not count. The number of steps is fixed before the run starts, since learning-rate schedules
depend on it: a run that a clock stops would be compared while its learning rate is still high.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from src.core.errors import UserError
from src.training.checkpoint_paths import checkpoint_step, last_checkpoint
from src.training.metrics_file import METRICS_FILE, SECONDS_PER_STEP, read_metrics, training_seconds

PROBE_OVERRIDES = {  # a probe only times steps
    "train.schedule": "constant",
    "train.val_every": 0,
    "train.sample_every": 0,
    "train.log_every": 1,
    "train.progress": False,
}


@dataclass(frozen=True)
class MatchedTime:
    """The time budget, the measured time per step, and the number of steps that follows from them."""

    budget_seconds: float
    seconds_per_step: float
    num_steps: int


def total_training_seconds(runs: list[Path]) -> float:
    """Return the seconds of training in finished runs, summed."""
    total = 0.0
    for run in runs:
        path = last_checkpoint(run)
        total += training_seconds(run / METRICS_FILE, checkpoint_step(path)) if path else 0.0
    return total


def match_time(
    result_path: Path,
    budget: float,
    run_probe: Callable[[Path, dict[str, Any]], None],
    probe_steps: int,
    min_steps: int,
) -> MatchedTime:
    """Return the number of steps that fit into `budget` seconds; measured once and stored in `result_path`.

    Args:
        run_probe: trains a throw-away run in a directory with further overrides.
        min_steps: minimum number of steps of the run, for its schedule to end.

    Raises:
        UserError: the budget is used up before the run begins.
    """
    if result_path.is_file():
        return MatchedTime(**json.loads(result_path.read_text()))
    if budget <= 0:
        raise UserError(f"{result_path.parent}: no time is left for the last stage: {budget:.1f} s")
    probe_dir = result_path.with_name("probe")
    shutil.rmtree(probe_dir, ignore_errors=True)
    steps = {"train.max_steps": probe_steps, "train.checkpoint_every": probe_steps}
    run_probe(probe_dir, {**PROBE_OVERRIDES, **steps})
    half = probe_steps // 2  # the first steps are slow: memory, caches, the first read of the data
    rows = [row for row in read_metrics(probe_dir / METRICS_FILE) if row["step"] > half]
    seconds_per_step = sum(row[SECONDS_PER_STEP] for row in rows) / len(rows)
    result = MatchedTime(budget, seconds_per_step, max(round(budget / seconds_per_step), min_steps))
    shutil.rmtree(probe_dir)
    result_path.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result
