"""The results file of a benchmark: an interrupted benchmark resumes, finished cases are kept."""

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
class BenchmarkRecord:
    """The numbers of each process, by case.

    Args:
        path: JSON file, written after every process; None: not written.
        fixed: settings and package versions, which are the same for all numbers of a file.
    """

    path: Path | None = None
    fixed: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, list[Numbers]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path, settings: dict[str, Any], packages: tuple[str, ...] = ()) -> Self:
        """Read the record at a path; an empty one if there is none.

        Raises:
            UserError: it was measured with different settings or package versions.
        """
        path = Path(path)
        versions = {name: importlib.metadata.version(name) for name in ("torch", *packages)}
        fixed = json.loads(json.dumps({"settings": settings, "versions": versions}))
        record = cls(path, fixed)
        if path.exists():
            previous = json.loads(path.read_text(encoding="utf-8"))
            for part, expected in fixed.items():
                for key, value in expected.items():
                    if previous[part].get(key) != value:
                        raise UserError(
                            f"{path} was measured with {key}={previous[part].get(key)}, not {value}: "
                            "set another out=FILE or remove it"
                        )
            record.runs = previous["runs"]
        return record

    def add(self, case: str, numbers: Numbers) -> None:
        """Add the numbers of one process and write the file."""
        self.runs.setdefault(case, []).append(numbers)
        if self.path is not None:
            content = {
                **self.fixed,
                "provenance": provenance.collect(),
                "cases": self.minimum(),
                "runs": self.runs,
            }
            with atomic_write(self.path) as temporary:
                temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")

    def minimum(self) -> dict[str, Numbers]:
        """Return, by case, the minimum of each float over processes; other values of the first process."""
        result = {}
        for case, runs in self.runs.items():
            result[case] = {
                key: min(run[key] for run in runs) if isinstance(value, float) else value
                for key, value in runs[0].items()
            }
        return result
