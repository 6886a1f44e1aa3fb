"""Prepare a data set: `python -m data.prepare CONFIG.yaml [key=value ...]`.

Media becomes records in LitData chunks, one directory for each bucket of equal length and size, under
OUT/train and OUT/val. Re-run an interrupted command to resume; a finished data set is left as it is. Inputs
that cannot be used are listed with their reason in OUT/*/rejected.jsonl and counted in the closing table.
OUT/DATA.md describes the result. `--dry-run` shows the same table and writes nothing.
"""

import sys

from data.config import PrepareConfig
from src.core import cli, config


def main(argv: list[str]) -> None:
    """Parse the command line and prepare the data set."""
    argv = ["dry_run=true" if arg == "--dry-run" else arg for arg in argv]
    settings = config.from_command_line(PrepareConfig, argv, __doc__)
    if settings is None:
        return
    from data.build import prepare  # torch and av: not needed for --help and mistakes in the settings

    prepare(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main))
