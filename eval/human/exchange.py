"""Read and write votes of other tools: `python -m eval.human exchange source=FILE target=FILE`.

Formats are recognized by suffix and columns, or named by `source_format` and `target_format`:
  preferences  this repository's (eval/human/votes.py), .jsonl or .csv; `report votes=` reads it
  genai_bench  prompt, left_model, left_video, right_model, right_video, vote_type, uid
  battles      FastChat: model_a, model_b, winner (model_a, model_b, tie, tie (bothbad))
  vbench       VBench's human preference labels: AXIS.json, or a folder of them; the target is a folder
  paper        a table like the paper's: axis, system_a, system_b, num_prompts, win, tie, loss, net_win_rate
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from eval.human.formats.arenas import (
    BATTLES,
    GENAI_BENCH,
    battle_rows,
    genai_bench_rows,
    read_battles,
    read_genai_bench,
)
from eval.human.formats.paper import PAPER, paper_rows, read_paper
from eval.human.formats.rows import read_rows, write_rows
from eval.human.formats.vbench import read_vbench, write_vbench
from eval.human.votes import Vote, read_votes
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

READERS: dict[str, Callable[[Path], list[Vote]]] = {
    "preferences": read_votes,
    "genai_bench": read_genai_bench,
    "battles": read_battles,
    "vbench": read_vbench,
    "paper": read_paper,
}
COLUMNS = {  # that tell a format from the others
    "genai_bench": set(GENAI_BENCH[:6]),
    "battles": set(BATTLES),
    "paper": set(PAPER),
    "vbench": {"human_anno", "videos"},
    "preferences": {"item", "system_a", "system_b", "vote"},
}


@dataclass(frozen=True, kw_only=True)
class ExchangeConfig(Config):
    """Settings of `eval.human exchange`."""

    source: str = opt("???", "file to read; of vbench also a folder")
    target: str = opt("???", "file to write, of vbench a folder; it must not exist")
    source_format: str = opt("", "format of the source; empty to recognize it", choices=("", *READERS))
    target_format: str = opt("preferences", "format of the target", choices=tuple(READERS))


def read_any(path: Path, name: str = "") -> tuple[str, list[Vote]]:
    """Return the format and the votes of a file.

    Raises:
        ValueError: `PATH:LINE: reason`, or the format is not recognized.
    """
    name = name or recognize(path)
    return name, READERS[name](path)


def recognize(path: Path) -> str:
    """Return the format of a file by its suffix and the names in its first row.

    Raises:
        ValueError: the file is missing or of none of the formats.
    """
    if path.is_dir() and any(path.glob("*.json")):
        return "vbench"
    names = set(_first_names(path))
    for name, columns in COLUMNS.items():
        if names >= columns:
            return name
    raise ValueError(
        f"{path}: of none of the formats {', '.join(READERS)}; it has {', '.join(sorted(names))}"
    )


def write_any(path: Path, name: str, votes: Sequence[Vote]) -> None:
    """Write votes in a format; CSV or JSON lines by the suffix, except VBench's folder."""
    if name == "vbench":
        write_vbench(path, votes)
    elif name == "preferences":
        write_rows(path, [asdict(vote) for vote in votes])
    else:
        rows = {"genai_bench": genai_bench_rows, "battles": battle_rows, "paper": paper_rows}[name]
        write_rows(path, rows(votes))


def _first_names(path: Path) -> Iterable[str]:
    if not path.is_file():
        raise ValueError(f"exchange: no such file: {path}")
    for _, row in read_rows(path):
        if not isinstance(row, dict):
            break
        return row.keys()
    raise ValueError(f"{path}: contains no votes")


def main(argv: list[str]) -> None:
    """Parse the command line and convert the file."""
    config = from_command_line(ExchangeConfig, argv, __doc__)
    if config is None:
        return
    try:
        target = Path(config.target)
        if target.exists():
            raise ValueError(f"target: {target} exists; nothing is overwritten")
        name, votes = read_any(Path(config.source), config.source_format)
        write_any(target, config.target_format, votes)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(str(error)) from error
    print(f"{len(votes)} votes ({name}) written to {target} ({config.target_format})")


if __name__ == "__main__":
    sys.exit(run_command(main))
