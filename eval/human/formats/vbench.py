"""VBench's human preference labels: one JSON file for each dimension, a list with an entry for each prompt.

An entry has `prompt_en`, `question_en`, `videos` (model -> address) and `human_anno`, a nested dictionary:
`human_anno[a][b]` is 1 where the video of a was preferred to that of b, 0 where it was not and
0.5 where they were equal. Both orders of a pair may be there.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.human.formats.rows import majority, make_vote, read_json_list
from eval.human.votes import VOTE_VALUES, Vote
from src.core.atomic import atomic_write

VOTE_OF = {1: "a", 0: "b", 0.5: "tie"}


def read_vbench(path: Path) -> list[Vote]:
    """Read a file whose name is its dimension, or a folder of such files."""
    if path.is_dir():
        return [vote for file in sorted(path.glob("*.json")) for vote in read_vbench(file)]
    votes = []
    for number, entry in enumerate(read_json_list(path), 1):
        where = f"{path}:{number}"
        for (a, b), value in _pairs(entry.get("human_anno"), where).items():
            prompt = str(entry.get("prompt_en", ""))
            votes.append(make_vote(where, prompt, a, b, VOTE_OF[value], axis=path.stem, prompt=prompt))
    return votes


def write_vbench(folder: Path, votes: Sequence[Vote]) -> None:
    """Write a file for each axis into a folder; the value of a pair is its majority's."""
    groups: dict[str, dict[str, dict[tuple[str, str], list[float]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for vote in votes:
        value = VOTE_VALUES[vote.vote]
        pairs = groups[vote.axis or "overall"][vote.prompt or vote.item]
        pairs[vote.system_a, vote.system_b].append(value)
        pairs[vote.system_b, vote.system_a].append(-value)
    folder.mkdir(parents=True)
    for axis, prompts in groups.items():
        entries = [_entry(prompt, pairs) for prompt, pairs in prompts.items()]
        with atomic_write(folder / f"{axis}.json") as temporary:
            temporary.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _entry(prompt: str, pairs: dict[tuple[str, str], list[float]]) -> dict[str, Any]:
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for (a, b), values in pairs.items():
        table[a][b] = (majority(values) + 1) / 2
    return {"prompt_en": prompt, "question_en": "", "videos": dict.fromkeys(table, ""), "human_anno": table}


def _pairs(table: Any, where: str) -> dict[tuple[str, str], float]:
    """Return the value of each pair once; where both orders are there they must agree."""
    found: dict[tuple[str, str], float] = {}
    if not isinstance(table, dict) or not all(isinstance(inner, dict) for inner in table.values()):
        raise ValueError(f"{where}: human_anno: expected a table of tables, {{a: {{b: 0, 0.5 or 1}}}}")
    for a, inner in table.items():
        for b, value in inner.items():
            if value not in VOTE_OF:
                raise ValueError(f"{where}: human_anno: {a}, {b}: expected 0, 0.5 or 1, got {value!r}")
            if found.get((b, a), 1 - value) != 1 - value:
                raise ValueError(f"{where}: human_anno: {a}, {b} and {b}, {a} disagree")
            if (b, a) not in found:
                found[a, b] = value
    return found
