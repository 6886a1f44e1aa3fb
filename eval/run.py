"""Score videos: `python -m eval.run videos=FOLDER [reference=FOLDER] [prompts=FILE] [key=value ...]`.

The samples of a manifest: `python -m eval.run [CONFIG.yaml] manifest=FILE.jsonl out=FOLDER [key=value ...]`.
An interrupted run resumes where it stopped, with the same command; until the end the earlier files stay.

Writes into `out`: results.jsonl (a line for every sample and metric, dropped ones with their reason),
scores.jsonl (a line for every number: what was measured, how, on how many samples, its interval), tables as
table.md, table.tex and table.csv, summary.json, report.html (with the videos) and contact_sheet.png.
"""

import sys

from eval.catalog import metrics_help
from eval.config import EvalConfig
from src.core.cli import run as run_command
from src.core.config import from_command_line, to_yaml
from src.core.errors import UserError


def main(argv: list[str]) -> None:
    """Parse the command line and score the samples."""
    config = from_command_line(EvalConfig, argv, f"{__doc__}\n{metrics_help()}\n")
    if config is None:
        return
    from eval.scoring import score  # imports torch, which --help and a misspelled argument need not wait for

    try:
        score(config, settings=to_yaml(config))
    except UserError:
        raise
    except (ValueError, OSError) as error:  # a bad manifest, an unwritable folder
        raise UserError(str(error)) from error


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="interrupted; the same command resumes where this run stopped"))
