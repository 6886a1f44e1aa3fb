"""Measure the filters on constructed clips: `python -m data.curation.validate [key=value ...]`.

For each filter, clips that it must reject and clips that it must keep are rendered, encoded, read back and
scored; the table has its precision and recall with the thresholds of `config`. group=setting uses the seeds
and encoders that thresholds were set on and shows the ranges of the scores; group=scoring uses others. Re-run
an interrupted command to resume.
"""

import sys

from data.curation.truth.config import ValidateConfig
from src.core import cli, config


def main(argv: list[str]) -> None:
    """Parse the command line, run the trials and write the tables."""
    settings = config.from_command_line(ValidateConfig, argv, __doc__)
    if settings is None:
        return
    from data.curation.truth.measurement import measure

    measure(settings)


if __name__ == "__main__":
    sys.exit(cli.run(main))
