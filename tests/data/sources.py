"""Sources for the tests of preparing: worker processes import them from here."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.parts import Input
from src.streaming.schema import PixelRecord, Rejection
from tests.src.streaming.toys import clip


@dataclass(frozen=True)
class ToySource:
    """Clips by number; `fatal` ones kill the process like a crashing decoder, all are as slow as told."""

    count: int
    fatal: tuple[int, ...] = ()
    seconds: float = 0.0

    def splits(self) -> dict[str, list[Input]]:
        return {"train": [{"n": n} for n in range(self.count)], "val": []}

    def records(self, item: Input) -> Iterator[PixelRecord | Rejection]:
        if item["n"] in self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        yield clip(self.name(item))
        if item["n"] % 5 == 3:
            yield Rejection(self.name(item), "every fifth")

    def version(self) -> dict[str, Any]:
        return {"toy": 1}

    def name(self, item: Input) -> str:
        return f"clip{item['n']:04d}"

    def per_part(self, item: Input) -> int:
        return 4
