"""Equal time of training: how many steps a run gets so that it trains as many seconds as another one.

Seconds are those of training steps (see `records.training_seconds`): what is validated, saved or shown does
not count, and neither does start-up. Steps are fixed before the run starts, since learning-rate schedules
look ahead: a run that a clock stops would be compared with its learning rate still high.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from src.core.errors import UserError
from src.training.checkpoint_paths import checkpoint_step, last_checkpoint
from src.training.metrics_file import METRICS_FILE, SECONDS_PER_STEP, read_metrics, training_seconds

PROBE = {  # a probe is to time steps, nothing else
    "train.schedule": "constant",
    "train.val_every": 0,
    "train.sample_every": 0,
    "train.log_every": 1,
    "train.progress": False,
}


@dataclass(frozen=True)
class EqualTime:
    """What was measured, and the steps that follow from it."""

    budget_seconds: float
    seconds_per_step: float
    steps: int


def seconds_of(runs: list[Path]) -> float:
    """Seconds of training in finished runs, all together."""
    total = 0.0
    for run in runs:
        path = last_checkpoint(run)
        total += training_seconds(run / METRICS_FILE, checkpoint_step(path)) if path else 0.0
    return total


def equal_steps(
    note: Path, budget: float, probe: Callable[[Path, dict], None], probe_steps: int, least: int
) -> EqualTime:
    """The steps that fit into `budget` seconds; measured once and kept in `note`.

    Args:
        probe: trains a throw-away run in a directory with further settings.
        least: fewest steps that a run may have (its schedule has to end).

    Raises:
        UserError: the budget is used up before the run begins.
    """
    if note.is_file():
        return EqualTime(**json.loads(note.read_text()))
    if budget <= 0:
        raise UserError(f"{note.parent}: no time is left for the last stage: {budget:.1f} s")
    folder = note.with_name("probe")
    shutil.rmtree(folder, ignore_errors=True)
    probe(folder, {**PROBE, "train.max_steps": probe_steps, "train.checkpoint_every": probe_steps})
    half = probe_steps // 2  # the first steps are slow: memory, caches, the first read of the data
    each = [r[SECONDS_PER_STEP] for r in read_metrics(folder / METRICS_FILE) if r["step"] > half]
    mean = sum(each) / len(each)
    found = EqualTime(budget, mean, max(round(budget / mean), least))
    shutil.rmtree(folder)
    note.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return found
