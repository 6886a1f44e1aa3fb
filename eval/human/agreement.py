"""Agreement of metrics with human votes: `python -m eval.human.agreement votes=FILE runs=DIR out=FOLDER`.

FILE contains votes (`eval/human/votes.py`); each DIR is the `out` of an `eval.run` whose systems and sample
ids are the votes' systems and items. Every score of single samples with a better direction is compared with
the majority of the votes on each item, for each axis of the votes. Writes agreement.md, .csv and .jsonl, with
intervals over other items and other raters.
"""

import csv
import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.catalog import axis_of
from eval.core.axes import AXES
from eval.core.scored_runs import ScoredSystem, read_scored_runs
from eval.human.analysis.metric_agreement import ANSWERS, MEASURES, NO_MAJORITY, measure_agreement
from eval.human.votes import Vote, read_votes
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table


@dataclass(frozen=True, kw_only=True)
class AgreementConfig(Config):
    """Settings of `eval.human.agreement`."""

    votes: str = opt("???", "votes as .jsonl or .csv (see eval/human/votes.py)")
    runs: tuple[str, ...] = opt((), "folders written by eval.run")
    out: str = opt("???", "folder for the tables")
    no_majority: str = opt("tie", "items on which two answers have most votes", choices=NO_MAJORITY)
    seed: int = opt(0, "seed of the bootstrap")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.runs:
            raise ValueError("runs: name at least one folder written by eval.run")


def compute_agreements(config: AgreementConfig) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a record for each axis of the votes, metric, score and statistic, and notes.

    Raises:
        ValueError: invalid votes or runs, or no vote is on systems and items of the runs.
    """
    votes = read_votes(config.votes)
    systems, scores = read_scored_runs(config.runs)
    found, notes = [], list[str]()
    keys = {key for system in systems.values() for key in system.values}
    for question in sorted({vote.axis for vote in votes}):
        axis_votes = [vote for vote in votes if vote.axis == question]
        notes += _notes_on_votes(question, axis_votes, systems)
        for metric, score in sorted(keys, key=_axis_order):
            better = scores[metric][score].better
            if not better:
                continue
            known = {
                name: {item: better * value for item, value in system.values[metric, score].items()}
                for name, system in systems.items()
                if (metric, score) in system.values
            }
            try:
                measured = measure_agreement(
                    axis_votes, known, no_majority=config.no_majority, seed=config.seed
                )
            except ValueError as error:
                notes.append(f"{question or 'votes'}: {metric}/{score}: {error}")
                continue
            axis = axis_of(metric, score)
            names = {"question": question, "axis": axis.name, "sub_axis": axis.sub_axis}
            for measure, value in measured.items():
                found.append(names | {"metric": metric, "score": score, "measure": measure} | asdict(value))
    if not found:
        raise ValueError(
            f"votes: none is on systems and items of the runs; systems of the runs: {', '.join(systems)}; "
            f"of the votes: {', '.join(sorted({n for v in votes for n in (v.system_a, v.system_b)}))}"
        )
    return found, notes


def _axis_order(key: tuple[str, str]) -> tuple[int, int, str, str]:
    axis = axis_of(*key)
    return [*AXES].index(axis.name), AXES[axis.name].index(axis.sub_axis), *key


def _notes_on_votes(question: str, votes: list[Vote], systems: dict[str, ScoredSystem]) -> list[str]:
    """Return how many items have no majority or a tie, and how many votes are on no item of the runs."""
    known = [
        vote
        for vote in votes
        if all(
            name in systems and vote.item in systems[name].prompts for name in (vote.system_a, vote.system_b)
        )
    ]
    answers = defaultdict[tuple[str, ...], list[int]](lambda: [0, 0, 0])
    for vote in known:
        pair = tuple(sorted((vote.system_a, vote.system_b)))
        answer = ANSWERS.index(vote.vote)
        answers[vote.item, *pair][answer if vote.system_a == pair[0] else 2 - answer] += 1
    name, notes = question or "votes", []
    if lost := len(votes) - len(known):
        notes.append(f"{name}: {lost} of {len(votes)} votes are on no item or system of the runs")
    if answers:
        counts = np.array(list(answers.values()), float)
        none = int(((counts == counts.max(1, keepdims=True)).sum(1) > 1).sum())
        ties = int(((counts[:, 1:2] > counts[:, ::2]).all(1)).sum())
        notes.append(f"{name}: of {len(counts)} pairs {ties} have a majority for a tie, {none} no majority")
    return notes


def agreement_table(found: list[dict[str, Any]]) -> str:
    """Return Markdown tables by axis: a line for each question and score, a column for each statistic."""
    parts = []
    for axis in AXES:
        cells: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
        for each in found:
            if each["axis"] == axis:
                key = (each["sub_axis"], each["question"], each["metric"], each["score"])
                cells[key][each["measure"]] = _format_cell(each)
        rows = [
            [*(k or "–" for k in key), *(row.get(m, "–") for m in MEASURES)] for key, row in cells.items()
        ]
        heads = ["sub-axis", "votes on", "metric", "score", *MEASURES]
        parts += [f"## {axis.capitalize()}\n\n{markdown_table(heads, rows)}"] if rows else []
    return "\n".join(parts)


def _format_cell(found: dict[str, Any]) -> str:
    bounds = "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['value']:.3f}{bounds}, n={found['num']}"


def main(argv: list[str]) -> None:
    """Parse the command line and compute the agreement."""
    config = from_command_line(AgreementConfig, argv, __doc__)
    if config is None:
        return
    try:
        found, notes = compute_agreements(config)
        out = Path(config.out)
        out.mkdir(parents=True, exist_ok=True)
        text = "\n".join([agreement_table(found), *(f"- {note}" for note in notes)]).rstrip() + "\n"
        lines = "".join(json.dumps(each) + "\n" for each in found)
        for name, content in (("agreement.md", text), ("agreement.jsonl", lines)):
            with atomic_write(out / name) as temporary:
                temporary.write_text(content, encoding="utf-8")
        with (
            atomic_write(out / "agreement.csv") as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, found[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from error
    print(text, end="")


if __name__ == "__main__":
    sys.exit(run_command(main))
