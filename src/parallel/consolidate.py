"""A sharded checkpoint as one file: `python -m src.parallel.consolidate CHECKPOINT OUT`.

Everything is kept, as if one process had written it. Weights alone: `python -m src.export`.
"""

import sys
from pathlib import Path

from src.core import cli
from src.core.errors import UserError
from src.parallel import checkpoint_io


def consolidate(checkpoint: Path, out: Path) -> None:
    """Write `checkpoint` (either format) to one file."""
    checkpoint_io.write_file(checkpoint_io.read(checkpoint), out)


def main(argv: list[str]) -> None:
    if len(argv) != 2:
        raise UserError("usage: python -m src.parallel.consolidate CHECKPOINT OUT")
    consolidate(Path(argv[0]), Path(argv[1]))


if __name__ == "__main__":
    sys.exit(cli.run(main))
