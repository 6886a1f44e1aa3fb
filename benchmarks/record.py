"""What a benchmark has measured so far, in a file: an interrupted one goes on, finished cases are kept."""

import importlib.metadata
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from src.core import provenance
from src.core.atomic import atomic_write
from src.core.errors import UserError

Numbers = dict[str, Any]


@dataclass
class Record:
    """By case, what each of its processes found.

    Args:
        path: JSON file, written after every process; None keeps nothing.
        fixed: what all numbers of a file must have in common: settings, and versions of packages.
    """

    path: Path | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, list[Numbers]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path, settings: dict[str, Any], packages: tuple[str, ...] = ()) -> Self:
        """The record at a path, or an empty one.

        Raises:
            UserError: it was measured with other settings or other versions of packages.
        """
        path = Path(path)
        versions = {name: importlib.metadata.version(name) for name in ("torch", *packages)}
        fixed = json.loads(json.dumps({"settings": settings, "versions": versions}))
        record = cls(path, fixed)
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            for part, wanted in fixed.items():
                for key, value in wanted.items():
                    if kept[part].get(key) != value:
                        raise UserError(
                            f"{path} was measured with {key}={kept[part].get(key)}, not {value}: "
                            "name another out=FILE or remove it"
                        )
            record.runs = kept["runs"]
        return record

    def add(self, case: str, numbers: Numbers) -> None:
        """Keep what one process found."""
        self.runs.setdefault(case, []).append(numbers)
        if self.path is not None:
            whole = {
                **self.fixed,
                "provenance": provenance.collect(),
                "cases": self.least(),
                "runs": self.runs,
            }
            with atomic_write(self.path) as temporary:
                temporary.write_text(json.dumps(whole, indent=1), encoding="utf-8")

    def least(self) -> dict[str, Numbers]:
        """By case, the least of every float over its processes; other values as the first found them."""
        found = {}
        for case, runs in self.runs.items():
            found[case] = {
                key: min(run[key] for run in runs) if isinstance(value, float) else value
                for key, value in runs[0].items()
            }
        return found
