"""Read and write votes of other tools: `python -m eval.human exchange source=FILE target=FILE`.

Formats are recognized by suffix and columns, or named by `source_format` and `target_format`:
  preferences  this repository's (eval/human/votes.py), .jsonl or .csv; `report votes=` reads it
  genai_bench  prompt, left_model, left_video, right_model, right_video, vote_type
  battles      FastChat: model_a, model_b, winner (model_a, model_b, tie, tie (bothbad))
  vbench       like VBench's human preferences: a JSON list of {prompt_en, videos {system: path}, human_anno}
  paper        a table like the paper's: axis, system_a, system_b, num_prompts, win, tie, loss, net_win_rate
"""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.human.votes import VOTE_VALUES, Vote, read_votes
from src.core.atomic import atomic_write
from src.core.cli import run as run_command
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import Config, opt

GENAI_BENCH = ("prompt", "left_model", "left_video", "right_model", "right_video", "vote_type")
GENAI_VOTES = {"leftvote": "a", "rightvote": "b", "tievote": "tie", "bothbad_vote": "tie", "bothbad": "tie"}
BATTLES = ("model_a", "model_b", "winner")
BATTLE_VOTES = {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie"}
PAPER = ("axis", "system_a", "system_b", "num_prompts", "win", "tie", "loss", "net_win_rate")
READABLE = ("preferences", "genai_bench", "battles", "vbench", "paper")


@dataclass(frozen=True, kw_only=True)
class ExchangeConfig(Config):
    """Settings of `eval.human exchange`."""

    source: str = opt("???", "file to read")
    target: str = opt("???", "file to write; it must not exist")
    source_format: str = opt("", "format of the source; empty to recognize it", choices=("", *READABLE))
    target_format: str = opt("preferences", "format of the target", choices=READABLE)


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
    names = set(_first_names(path))
    for format_name, columns in (("genai_bench", GENAI_BENCH[:-1]), ("battles", BATTLES), ("paper", PAPER)):
        if names >= set(columns):
            return format_name
    if names >= {"human_anno", "videos"}:
        return "vbench"
    if names >= {"item", "system_a", "system_b", "vote"}:
        return "preferences"
    raise ValueError(
        f"{path}: of none of the formats {', '.join(READABLE)}; it has {', '.join(sorted(names))}"
    )


def read_genai_bench(path: Path) -> list[Vote]:
    """Read GenAI-Bench's arena votes; items are prompts, "both bad" counts as equal."""
    votes = []
    for number, row in _rows(path):
        vote = GENAI_VOTES.get(str(row.get("vote_type", "")).strip())
        if vote is None:
            known = ", ".join(GENAI_VOTES)
            raise ValueError(
                f"{path}:{number}: vote_type: expected one of {known}, got {row.get('vote_type')!r}"
            )
        votes.append(
            _vote(
                path, number, row["prompt"], row["left_model"], row["right_model"], vote, prompt=row["prompt"]
            )
        )
    return votes


def read_battles(path: Path) -> list[Vote]:
    """Read FastChat battles; without a question id every battle is an item of its own."""
    votes = []
    for number, row in _rows(path):
        vote = BATTLE_VOTES.get(str(row.get("winner", "")).strip())
        if vote is None:
            known, got = ", ".join(BATTLE_VOTES), row.get("winner")
            raise ValueError(f"{path}:{number}: winner: expected one of {known}, got {got!r}")
        item = str(row.get("question_id") or f"battle {number}")
        more = {"rater": str(row.get("judge") or ""), "axis": str(row.get("axis") or "")}
        votes.append(_vote(path, number, item, row["model_a"], row["model_b"], vote, **more))
    return votes


def read_vbench(path: Path) -> list[Vote]:
    """Read preferences in a layout like VBench's: of each prompt pairs with 1, 0 or 0.5 for the first."""
    votes = []
    for number, entry in enumerate(_json_list(path), 1):
        prompt = str(entry.get("prompt_en", ""))
        axes = entry.get("dimension") or [""]
        for pair, value in dict(entry["human_anno"]).items():
            systems = [part.strip() for part in str(pair).replace("|", ",").split(",")]
            if len(systems) != 2 or value not in (0, 0.5, 1):
                raise ValueError(
                    f"{path}:{number}: human_anno: expected `a,b`: 0, 0.5 or 1, got {pair!r}: {value!r}"
                )
            vote = {1: "a", 0: "b", 0.5: "tie"}[value]
            for axis in axes if isinstance(axes, list) else [axes]:
                a, b = systems
                votes.append(_vote(path, number, prompt, a, b, vote, axis=str(axis), prompt=prompt))
    return votes


def read_paper(path: Path) -> list[Vote]:
    """Read a table of wins, ties and losses as that many votes on items without names."""
    votes = []
    for number, row in _rows(path):
        try:
            counts = {name: int(row[name]) for name in ("win", "tie", "loss")}
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path}:{number}: win, tie and loss must be whole numbers") from None
        outcomes = [
            vote for vote, name in (("a", "win"), ("tie", "tie"), ("b", "loss")) for _ in range(counts[name])
        ]
        pair = f"{row['system_a']} {row['system_b']}"
        votes += [
            _vote(path, number, f"{pair} {index}", row["system_a"], row["system_b"], vote, axis=row["axis"])
            for index, vote in enumerate(outcomes)
        ]
    return votes


READERS: dict[str, Callable[[Path], list[Vote]]] = {
    "preferences": read_votes,
    "genai_bench": read_genai_bench,
    "battles": read_battles,
    "vbench": read_vbench,
    "paper": read_paper,
}


def write_any(path: Path, name: str, votes: Sequence[Vote]) -> None:
    """Write votes in a format; CSV or JSON lines by the suffix, except VBench's JSON list."""
    if name == "vbench":
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(_vbench_entries(votes), ensure_ascii=False, indent=1) + "\n")
        return
    rows = {
        "preferences": lambda: [asdict(vote) for vote in votes],
        "genai_bench": lambda: [_genai_row(vote) for vote in votes],
        "battles": lambda: [_battle_row(vote) for vote in votes],
        "paper": lambda: paper_rows(votes),
    }[name]()
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def paper_rows(votes: Iterable[Vote]) -> list[dict[str, Any]]:
    """Return wins, ties and losses by axis and pair after the majority of each item (no majority: tie)."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        a, b = sorted((vote.system_a, vote.system_b))
        sign = 1 if a == vote.system_a else -1
        groups[vote.axis, a, b][vote.item].append(sign * VOTE_VALUES[vote.vote])
    rows = []
    for (axis, a, b), items in groups.items():
        outcomes = [_majority(values) for values in items.values()]
        win, tie, loss = (outcomes.count(value) for value in (1, 0, -1))
        net = round(100 * (win - loss) / len(outcomes), 2)
        rows.append(dict(zip(PAPER, (axis, a, b, len(outcomes), win, tie, loss, net), strict=True)))
    return rows


def _majority(values: Sequence[float]) -> int:
    counts = sorted(((values.count(value), value) for value in (-1, 0, 1)), reverse=True)
    return int(counts[0][1]) if counts[0][0] > counts[1][0] else 0


def _vote(path: Path, number: int, item: Any, a: Any, b: Any, vote: str, **more: Any) -> Vote:
    try:
        return Vote(item=str(item), system_a=str(a), system_b=str(b), vote=vote, **more)
    except ValueError as error:
        raise ValueError(f"{path}:{number}: {error}") from None


def _genai_row(vote: Vote) -> dict[str, str]:
    names = {"a": "leftvote", "b": "rightvote", "tie": "tievote"}
    values = (vote.prompt or vote.item, vote.system_a, "", vote.system_b, "", names[vote.vote])
    return dict(zip(GENAI_BENCH, values, strict=True))


def _battle_row(vote: Vote) -> dict[str, Any]:
    names = {"a": "model_a", "b": "model_b", "tie": "tie"}
    return {
        "question_id": vote.item,
        "model_a": vote.system_a,
        "model_b": vote.system_b,
        "winner": names[vote.vote],
        "judge": vote.rater,
        "axis": vote.axis,
    }


def _vbench_entries(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Return an entry for each item and axis; the value of a pair is its majority's."""
    groups: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    prompts = {}
    for vote in votes:
        groups[vote.item, vote.axis][f"{vote.system_a},{vote.system_b}"].append(VOTE_VALUES[vote.vote])
        prompts[vote.item] = vote.prompt or vote.item
    return [
        {
            "prompt_en": prompts[item],
            "dimension": [axis],
            "videos": {},
            "human_anno": {pair: (_majority(values) + 1) / 2 for pair, values in pairs.items()},
        }
        for (item, axis), pairs in groups.items()
    ]


def _rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            yield from ((reader.line_num, row) for row in reader)
    elif path.suffix == ".json":
        yield from enumerate(_json_list(path), 1)
    else:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield number, json.loads(line)
                    except json.JSONDecodeError as error:
                        raise ValueError(f"{path}:{number}: not JSON ({error.msg})") from None


def _json_list(path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise ValueError(f"{path}: expected a JSON list of objects")
    return content


def _first_names(path: Path) -> Iterable[str]:
    if not path.is_file():
        raise ValueError(f"exchange: no such file: {path}")
    for _, row in _rows(path):
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
