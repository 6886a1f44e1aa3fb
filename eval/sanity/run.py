"""Check that metrics respond to degradations as expected: `python -m eval.sanity.run [out=table.md]`.

Degrades small synthetic videos and audio with growing strength and computes every metric. The table states
for each pair whether the value moved in the expected direction, and whether it did so at every step. The exit
code is 1 if a value moved in the wrong direction.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from eval.reports.tables import require_parent_dir
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class SanityConfig(Config):
    """Settings of `eval.sanity.run`."""

    num: int = opt(3, "samples of each degradation, or sets of Bounce videos; values are averaged", ge=1)
    out: str = opt("", "Markdown file for the table; empty writes none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_parent_dir(self.out)


def main(argv: list[str]) -> None:
    """Print the table; exit with code 1 if a value moved in the wrong direction."""
    config = from_command_line(SanityConfig, argv, __doc__)
    if config is None:
        return
    from eval.sanity.trends import run_trials, trend_table  # torch: not for --help

    found, skipped = run_trials(config.num)
    table = trend_table(found, skipped)
    print(table, end="")
    if config.out:
        Path(config.out).write_text(table, encoding="utf-8")
    if not all(each.as_expected for each in found):
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(run_command(main))
