"""A table like the paper's: wins, ties, losses and the net win rate of each axis and pair of systems."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eval.human.formats.rows import majority, make_vote, read_rows
from eval.human.votes import VOTE_VALUES, Vote

PAPER = ("axis", "system_a", "system_b", "num_prompts", "win", "tie", "loss", "net_win_rate")


def read_paper(path: Path) -> list[Vote]:
    """Read wins, ties and losses as that many votes on items without names."""
    votes = []
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        try:
            counts = {vote: int(row[name]) for vote, name in (("a", "win"), ("tie", "tie"), ("b", "loss"))}
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{where}: win, tie and loss must be whole numbers") from None
        a, b = row["system_a"], row["system_b"]
        outcomes = [vote for vote, num in counts.items() for _ in range(num)]
        votes += [
            make_vote(where, f"{a} {b} {index}", a, b, vote, axis=row["axis"])
            for index, vote in enumerate(outcomes)
        ]
    return votes


def paper_rows(votes: Iterable[Vote]) -> list[dict[str, Any]]:
    """Return wins, ties and losses by axis and pair after the majority of each item (no majority: tie)."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        a, b = sorted((vote.system_a, vote.system_b))
        sign = 1 if a == vote.system_a else -1
        groups[vote.axis, a, b][vote.item].append(sign * VOTE_VALUES[vote.vote])
    rows = []
    for (axis, a, b), items in groups.items():
        outcomes = [majority(values) for values in items.values()]
        win, tie, loss = (outcomes.count(value) for value in (1, 0, -1))
        net = round(100 * (win - loss) / len(outcomes), 2)
        rows.append(dict(zip(PAPER, (axis, a, b, len(outcomes), win, tie, loss, net), strict=True)))
    return rows
