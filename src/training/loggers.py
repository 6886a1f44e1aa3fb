"""Metrics on disk: TensorBoard curves, and one JSON line per record for everything else."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

METRICS = "metrics.jsonl"
SECONDS = "speed/seconds_per_step"


class JsonLines(Logger):
    """`metrics.jsonl`: {"step": ..., name: value, ...}. Steps at and after `start` are written anew."""

    def __init__(self, run_dir: Path, start: int) -> None:
        super().__init__()
        self.path = run_dir / METRICS
        self.start = start
        self._cut = False

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The run's config lies beside the file already."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not self._cut:
            self._forget_what_is_repeated()
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def _forget_what_is_repeated(self) -> None:
        """After a crash, steps behind the checkpoint were recorded and will be recorded again."""
        self._cut = True
        kept = [line for line in read(self.path) if line["step"] <= self.start]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept))


def read(path: Path) -> list[dict[str, Any]]:
    """Records of a metrics file; a last line that a crash cut short is left out."""
    records = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def build_loggers(run_dir: Path, start: int) -> list[Logger]:
    """TensorBoard in `run_dir/tensorboard`, where steps after `start` replace older ones, and JSON lines."""
    purge = start + 1 if start else None
    board = TensorBoardLogger(run_dir, name="tensorboard", version="", purge_step=purge)
    return [board, JsonLines(run_dir, start)]


def training_seconds(path: Path, steps: int) -> float:
    """Seconds that `steps` steps of a run took by its metrics file: steps and their waiting for data.

    Start-up, validation, sample films and saving are left out; the first step, which also warms up, counts
    as long as those after it. Steps after the last record count like those before it. No record: 0.
    """
    rates = [(r["step"], r[SECONDS]) for r in read(path) if SECONDS in r]
    if len(rates) > 1 and rates[0][0] == 1:
        del rates[0]
    total, done, each = 0.0, 0, 0.0
    for step, each in rates:
        total += (step - done) * each
        done = step
    return total + max(steps - done, 0) * each
