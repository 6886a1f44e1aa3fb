"""Let a judge compare two systems: `python -m eval.judge 'manifests=[A,B]' 'judge.command=[...]' out=FOLDER`.

Of every sample that both manifests have, with the same prompt, the judge sees both videos in both orders and
answers "a", "b" or "tie". A preference that turns with the order is a tie, and counted. Writes votes.jsonl
(the format of `eval.human.agreement` and `eval.human.report`, with the reasons), answers.jsonl (each answer
as it came, by which the same command resumes) and table.md.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from eval.core.clusters import clusters_of
from eval.core.intervals import mean_interval
from eval.core.manifest import Sample, read_manifest
from eval.core.results import FRACTION, Score
from eval.judges.config import JudgeConfig
from eval.reports.tables import format_interval
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt
from src.core.markdown import markdown_table
from src.core.progress import progress

ANSWERS = {"a": "b", "b": "a", "tie": "tie"}  # what an answer means when the videos have changed sides


@dataclass(frozen=True, kw_only=True)
class PairsConfig(Config):
    """Settings of `eval.judge`."""

    manifests: tuple[str, ...] = opt((), "manifests of the two systems")
    judge: JudgeConfig = opt(JudgeConfig(), "the judge")
    name: str = opt("judge", "name of the judge, the rater of its votes")
    axis: str = opt("overall", "what is asked for, the axis of the votes")
    out: str = opt("???", "folder of the votes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.manifests) != 2:
            raise ValueError(f"manifests: expected two, got {len(self.manifests)}")
        self.judge.require_address("judge")


@dataclass(frozen=True)
class Pair:
    """A sample of two systems; `samples` and the folders of their media."""

    samples: tuple[Sample, Sample]
    roots: tuple[Path, Path]


def read_pairs(config: PairsConfig) -> tuple[list[Pair], tuple[str, str], int]:
    """Return the pairs, the names of the systems, and how many samples have no partner with the same prompt.

    Raises:
        UserError: a manifest cannot be read, or nothing is in common.
    """
    paths = [Path(each) for each in config.manifests]
    try:
        found = [{sample.id: sample for sample in read_manifest(path)} for path in paths]
    except ValueError as error:
        raise UserError(str(error)) from error
    names = [
        next(iter(samples.values())).system or path.resolve().parent.name
        for path, samples in zip(paths, found, strict=True)
    ]
    if names[0] == names[1]:
        names = [f"{each.resolve().parent.name}/{name}" for each, name in zip(paths, names, strict=True)]
    roots = paths[0].resolve().parent, paths[1].resolve().parent
    pairs = [
        Pair((sample, found[1][name]), roots)
        for name, sample in found[0].items()
        if name in found[1] and found[1][name].prompt == sample.prompt
    ]
    if not pairs or names[0] == names[1]:
        what = (
            "the manifests have no sample with the same id and prompt"
            if not pairs
            else "the systems have one name"
        )
        raise UserError(f"manifests: {what}")
    alone = len(found[0].keys() | found[1].keys()) - len(pairs)
    return pairs, (names[0], names[1]), alone


def ask_both_orders(
    pairs: list[Pair], config: PairsConfig, done: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Yield an entry for each pair: its answers by the order of the manifests with reasons, or an error."""
    from eval.core.results import Item
    from eval.judges.client import JudgeError, connect  # --help needs no image library
    from eval.judges.metric import describe_item, join_reasons

    judge = connect(config.judge)
    for pair in pairs:
        name = pair.samples[0].id
        if name in done:
            yield done[name]
            continue
        try:
            media = [
                describe_item(Item(sample, root), config.judge)
                for sample, root in zip(pair.samples, pair.roots, strict=True)
            ]
            request = {"id": name, "prompt": pair.samples[0].prompt, "question": config.judge.question}
            answers, reasons = [], []
            for first, second in (media, media[::-1]):
                found = judge.ask({**request, "task": "compare", "a": first, "b": second})
                if found.get("answer") not in ANSWERS:
                    raise JudgeError(f"answer: expected a, b or tie, got {found.get('answer')!r}")
                answers.append(found["answer"])
                reasons.append(join_reasons(found.get("reason", "")))
            yield {"item": name, "answers": [answers[0], ANSWERS[answers[1]]], "reasons": reasons}
        except (ValueError, OSError) as error:
            yield {"item": name, "error": str(error)}
    judge.close()


def vote_of(answers: list[str]) -> str:
    """Return the preference that both orders agree on, else a tie."""
    return answers[0] if answers[0] == answers[1] else "tie"


def compare(config: PairsConfig) -> str:
    """Ask, write the files and return the table.

    Raises:
        UserError: the manifests have nothing in common, or no pair was answered.
    """
    pairs, systems, alone = read_pairs(config)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    lines = out / "answers.jsonl"
    settings = json.dumps(
        [config.judge.command, config.judge.url, config.judge.question, config.judge.version]
    )
    known = (
        [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        if lines.exists()
        else []
    )
    done = {each["item"]: each for each in known if each.get("judge") == settings and "error" not in each}
    entries = []
    with lines.open("a", encoding="utf-8") as file, progress("pairs", len(pairs)) as advance:
        for entry in ask_both_orders(pairs, config, done):
            entries.append(entry)
            if entry["item"] not in done:
                print(json.dumps({**entry, "judge": settings}, ensure_ascii=False), file=file, flush=True)
            advance(1)
    answered = {entry["item"]: entry for entry in entries if "error" not in entry}
    if not answered:
        raise UserError(f"the judge answered for no pair, first {entries[0]['item']}: {entries[0]['error']}")
    prompts = {pair.samples[0].id: pair.samples[0].prompt for pair in pairs}
    votes = [
        {"item": name, "prompt": prompts[name], "axis": config.axis, "system_a": systems[0],
         "system_b": systems[1], "vote": vote_of(entry["answers"]), "rater": config.name,
         "answers": entry["answers"], "reasons": entry["reasons"]}
        for name, entry in answered.items()
    ]  # fmt: skip
    with atomic_write(out / "votes.jsonl") as temporary:
        text = "".join(json.dumps(vote, ensure_ascii=False) + "\n" for vote in votes)
        temporary.write_text(text, encoding="utf-8")
    failed = [entry for entry in entries if "error" in entry]
    table = format_table(votes, systems, failed, alone)
    with atomic_write(out / "table.md") as temporary:
        temporary.write_text(table, encoding="utf-8")
    return table


def format_table(
    votes: list[dict[str, Any]], systems: tuple[str, str], failed: list[dict[str, Any]], alone: int
) -> str:
    """Return wins, ties, net wins with interval, how often the order decided, and what is missing."""
    net = [{"a": 1.0, "tie": 0.0, "b": -1.0}[vote["vote"]] for vote in votes]
    groups = clusters_of([vote["prompt"] for vote in votes], [vote["item"] for vote in votes])
    turned = [vote for vote in votes if vote["answers"][0] != vote["answers"][1]]
    counts = [sum(vote["vote"] == each for vote in votes) for each in ("a", "tie", "b")]
    shown = format_interval(mean_interval(net, groups, kind="difference"), Score(1, FRACTION), signed=True)
    heads = ("pairs", f"{systems[0]} wins", "ties", f"{systems[1]} wins", "net wins in %", "order decides")
    text = markdown_table(heads, [[str(len(votes)), *map(str, counts), shown, str(len(turned))]])
    if alone:
        text += f"\n- {alone} samples have no partner with the same prompt\n"
    if failed:
        text += (
            f"\n- {len(failed)} pairs without an answer, first {failed[0]['item']}: {failed[0]['error']}\n"
        )
    return text


def main(argv: list[str]) -> None:
    """Compare and print the table."""
    config = from_command_line(PairsConfig, argv, __doc__)
    if config is None:
        return
    Console(highlight=False).print(compare(config), soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(run_command(main, interrupted="interrupted; the same command resumes where this run stopped"))
