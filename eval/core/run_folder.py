"""The output folder of a run: files are written next to the earlier run's and replace them all at the end.

A run that fails or is killed leaves the earlier tables as they were, and in `OUT/unfinished` what it has
measured so far, with which the same command resumes.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

UNFINISHED = "unfinished"
NAMES = (
    *("results.jsonl", "scores.jsonl", "summary.json", "table.md", "table.tex", "table.csv"),
    *("report.html", "contact_sheet.png", "neighbors.csv", "neighbors.png"),
    *("config.yaml", "provenance.json", "code.diff"),
)
"""The files of `eval.run`, in the order in which they replace the earlier ones."""


class RunFolder:
    """The folder `out`, and in it `unfinished`, where a run writes the files `names` until `publish`."""

    def __init__(self, out: str | Path, names: Sequence[str] = NAMES) -> None:
        self.out, self.names = Path(out), names
        self.unfinished = self.out / UNFINISHED
        self.journal = self.unfinished / "measured"

    def start(self) -> None:
        """Create the folders; provenance.json of earlier runs is copied, for it is continued."""
        self.unfinished.mkdir(parents=True, exist_ok=True)
        earlier = self.out / "provenance.json"
        if earlier.is_file():
            shutil.copyfile(earlier, self.unfinished / earlier.name)

    def publish(self) -> None:
        """Replace the files of the earlier run; those that this one has not written are removed."""
        for name in self.names:
            new, old = self.unfinished / name, self.out / name
            if new.is_file():
                os.replace(new, old)
            else:
                old.unlink(missing_ok=True)
        shutil.rmtree(self.unfinished)
