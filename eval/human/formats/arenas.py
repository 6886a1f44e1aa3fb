"""Votes of arenas: GenAI-Bench, and battles of FastChat.

GenAI-Bench has the columns prompt, left_model, left_video, right_model, right_video, vote_type, uid, with the
votes leftvote, rightvote, tievote and bothbad_vote. A battle of FastChat has question_id (its own for each
conversation), model_a, model_b, winner and more, with the winners model_a, model_b, tie and
tie (bothbad). "Both bad" counts as equal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.human.formats.rows import make_vote, read_rows
from eval.human.votes import Vote

GENAI_BENCH = ("prompt", "left_model", "left_video", "right_model", "right_video", "vote_type", "uid")
GENAI_VOTES = {"leftvote": "a", "rightvote": "b", "tievote": "tie", "bothbad_vote": "tie"}
BATTLES = ("model_a", "model_b", "winner")
BATTLE_VOTES = {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie"}


def read_genai_bench(path: Path) -> list[Vote]:
    """Read GenAI-Bench's votes; items are prompts."""
    votes = []
    for number, row in read_rows(path):
        vote = _look_up(GENAI_VOTES, row, "vote_type", f"{path}:{number}")
        prompt, a, b = row["prompt"], row["left_model"], row["right_model"]
        votes.append(make_vote(f"{path}:{number}", prompt, a, b, vote, prompt=prompt))
    return votes


def genai_bench_rows(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Return votes as rows of GenAI-Bench, without addresses of videos."""
    names = {"a": "leftvote", "b": "rightvote", "tie": "tievote"}
    return [
        {
            "prompt": vote.prompt or vote.item,
            "left_model": vote.system_a,
            "left_video": "",
            "right_model": vote.system_b,
            "right_video": "",
            "vote_type": names[vote.vote],
            "uid": number,
        }
        for number, vote in enumerate(votes)
    ]


def read_battles(path: Path) -> list[Vote]:
    """Read FastChat battles; without a question id every battle is an item of its own."""
    votes = []
    for number, row in read_rows(path):
        where = f"{path}:{number}"
        vote = _look_up(BATTLE_VOTES, row, "winner", where)
        item = str(row.get("question_id") or f"battle {number}")
        more = {"rater": str(row.get("judge") or ""), "axis": str(row.get("axis") or "")}
        votes.append(make_vote(where, item, row["model_a"], row["model_b"], vote, **more))
    return votes


def battle_rows(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """Return votes as battles; the axis is a further column."""
    names = {"a": "model_a", "b": "model_b", "tie": "tie"}
    return [
        {
            "question_id": vote.item,
            "model_a": vote.system_a,
            "model_b": vote.system_b,
            "winner": names[vote.vote],
            "judge": vote.rater,
            "axis": vote.axis,
        }
        for vote in votes
    ]


def _look_up(known: dict[str, str], row: dict[str, Any], column: str, where: str) -> str:
    vote = known.get(str(row.get(column, "")).strip())
    if vote is None:
        raise ValueError(f"{where}: {column}: expected one of {', '.join(known)}, got {row.get(column)!r}")
    return vote
