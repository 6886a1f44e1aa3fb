"""Loggers of a run: TensorBoard curves, and one JSON line per record for programs."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from src.training.metrics_file import METRICS_FILE, read_metrics


class JSONLinesLogger(Logger):
    """Appends records to `metrics.jsonl`, after removing those of steps after `start`."""

    def __init__(self, run_dir: Path, start: int) -> None:
        super().__init__()
        self.path = run_dir / METRICS_FILE
        self.start = start
        self._truncated = False

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run's config.yaml is in the same directory."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not self._truncated:
            self._truncate()
        with open(self.path, "a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def _truncate(self) -> None:
        """Remove records after the checkpoint: the resumed run trains and records those steps again."""
        self._truncated = True
        kept = [record for record in read_metrics(self.path) if record["step"] <= self.start]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(json.dumps(record) + "\n" for record in kept))


def build_loggers(run_dir: Path, start: int) -> list[Logger]:
    """Return the loggers of a run: TensorBoard, in the run directory itself, and JSON lines.

    Args:
        start: step that the run resumes at; events of later steps are hidden in TensorBoard.
    """
    purge = start + 1 if start else None
    board = TensorBoardLogger(run_dir, name="", version="", purge_step=purge)
    return [board, JSONLinesLogger(run_dir, start)]
