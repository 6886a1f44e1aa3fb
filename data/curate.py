"""Curate a pool of videos: `python -m data.curate CONFIG.yaml path=POOL out=FOLDER [key=value ...]`.

Every clip is decoded once and all its scores are stored in OUT/scores (parquet). The funnel then keeps or
rejects clips by the config's thresholds: run the command again with others, and nothing is decoded again.
Re-run an interrupted command to resume. OUT/kept.jsonl feeds `data.prepare`
(files.path=OUT/kept.jsonl files.root=POOL).
"""

import sys

from data.curation.config import CurationConfig
from src.core import cli, config

INTERRUPTED = "interrupted; re-run the same command to resume"


def main(argv: list[str]) -> None:
    """Parse the command line and curate the pool."""
    settings = config.from_command_line(CurationConfig, argv, __doc__)
    if settings is None:
        return
    from data.curation.run import curate  # torch and av: not needed for --help and mistakes in the settings

    curate(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main, interrupted=INTERRUPTED))
