"""Measure the accuracy of the Bounce checker: `python -m eval.bounce_checker.validate [key=value ...]`.

Renders videos with known facts, degrades them, analyzes them, and prints how often subject, motion and camera
are recognized correctly. The first rows should be near 100 %, those of wrong colors and broken motion low.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eval.bounce_checker.validate_config import ValidateCheckerConfig
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.markdown import markdown_table


def main(argv: list[str]) -> None:
    """Parse the command line and validate the checker."""
    config = from_command_line(ValidateCheckerConfig, argv, __doc__)
    if config is None:
        return
    from eval.bounce_checker.validation import HEADS, validate  # scipy: not for --help

    console = Console()
    rows = validate(config, console)
    table = Table(*HEADS, title="Bounce checker on videos with known facts, per cent correct")
    for cells in rows:
        table.add_row(*cells)
    console.print(table)
    if config.out:
        Path(config.out).write_text(markdown_table(HEADS, rows), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_command(main))
