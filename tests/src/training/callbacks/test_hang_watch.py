"""A process that hangs is named by the others."""

import time
from pathlib import Path
from typing import Any

from src.parallel.config import ParallelConfig
from src.streaming.batch import LatentBatch
from src.training.callbacks.hang_watch import HangWatch, Report, name_hanging
from src.training.trainer import fit
from tests.fixtures.ranks import Ranks
from tests.fixtures.toy_modules import ToyData, ToyLatents, train_config, video_module


def report(step: int, *, waits: bool = False, stalled_s: float = 10.0, place: str = "a.py:1 (f)") -> Report:
    return Report(step, stalled_s, place, waits, beat=1)


def test_who_hangs() -> None:
    assert name_hanging([report(3, stalled_s=1.0), report(3)], set(), 5.0) == ""
    second = "rank 1 hangs at step 3 in a.py:1 (f)"
    assert name_hanging([report(4), report(3), report(4)], set(), 5.0) == second
    assert name_hanging([report(3, waits=True), report(3), report(3, waits=True)], set(), 5.0) == second
    silent = name_hanging([report(3, waits=True), report(2, stalled_s=0.0)], {1}, 5.0)
    assert silent == "rank 1 has been silent since step 2"


class HangingLatents(ToyLatents):
    """Rank 1 reads nothing at step 3 until a file is there."""

    path: Path

    def __getitem__(self, step: int) -> LatentBatch:
        end = time.monotonic() + 60
        while self.rank == 1 and step == 3 and not self.path.exists() and time.monotonic() < end:
            time.sleep(0.02)
        return super().__getitem__(step)


class HangingData(ToyData):
    def __init__(self, path: Path, *args: Any) -> None:
        super().__init__(*args)
        self.path = path

    def _dataset(self) -> ToyLatents:
        dataset = HangingLatents(*self._rank_and_size())
        dataset.path = self.path
        return dataset


def train(run_dir: Path) -> list[str]:
    """Return the lines of this process."""
    config = train_config(
        max_steps=5, val_every=0, hang_after_s=0, parallel=ParallelConfig(accelerator="cpu", num_devices=2)
    )
    lines: list[str] = []
    found = run_dir / "found"

    def note(line: str) -> None:
        lines.append(line)
        if "rank 1 hangs at step 3 in tests/" in line and "rank 0" not in line:
            found.touch()  # slow steps before are reported too

    data = HangingData(found, 5)
    fit(video_module(config), data, config, run_dir, callbacks=[HangWatch(0.5, note)])
    return lines


def test_a_sleeping_process_is_named_with_its_step(tmp_path: Path, ranks: Ranks) -> None:
    lines = [line for lines in ranks.run(train, tmp_path) for line in lines]
    assert (tmp_path / "found").exists(), lines
