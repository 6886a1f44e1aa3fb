"""A sharded checkpoint as one file: `python -m src.parallel.consolidate CHECKPOINT OUT`.

Everything is kept, as if one process had written it. Weights alone: `python -m src.export`.
"""

import sys
from pathlib import Path

from src import command_line
from src.errors import UserError
from src.parallel import storage


def consolidate(checkpoint: Path, out: Path) -> None:
    """Write `checkpoint` (either format) to one file."""
    storage.write_file(storage.read(checkpoint), out)


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise UserError("usage: python -m src.parallel.consolidate CHECKPOINT OUT")
    consolidate(Path(argv[0]), Path(argv[1]))


if __name__ == "__main__":
    sys.exit(command_line.run(main))
