"""Convert a sharded checkpoint into one file: `python -m src.parallel.consolidate CHECKPOINT OUT`.

The file is the one that a single process would have written, with optimizer states. Weights alone:
`python -m src.export`.
"""

import sys
from pathlib import Path

from src.core import cli
from src.core.errors import UserError
from src.parallel import checkpoint_io


def consolidate(checkpoint: Path, out: Path) -> None:
    """Write `checkpoint` (of either format) to one file."""
    checkpoint_io.write_checkpoint(checkpoint_io.read_checkpoint(checkpoint), out)


def main(argv: list[str]) -> None:
    """Run the command line."""
    if len(argv) != 2:
        raise UserError("usage: python -m src.parallel.consolidate CHECKPOINT OUT")
    consolidate(Path(argv[0]), Path(argv[1]))


if __name__ == "__main__":
    sys.exit(cli.run(main))
