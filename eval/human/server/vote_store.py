"""Storing answers: exactly one vote per rater, item and axis; every answer stays as a revision."""

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from eval.human.answers import check_answer
from eval.human.schema import Evidence
from eval.human.server.tables import Rater, Revision, Vote
from eval.human.study import Study

MAX_MARKS = 50
MAX_LISTED = 32
MAX_TEXT = 300


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A checked answer of a rater to the task at a position of the slot. `key` identifies the request."""

    position: int
    key: str
    answer: dict[str, Any]
    marks: list[dict[str, float]]
    comment: str
    evidence: dict[str, Any]


def parse_submission(study: Study, slot: str, body: Any) -> Submission:
    """Check a request's body against the plan.

    Raises:
        ValueError: one line that names the field.
    """
    if not isinstance(body, dict):
        raise ValueError("expected an object")
    position, key = body.get("position"), body.get("key")
    tasks = study.slots[slot].tasks
    if type(position) is not int or not 0 <= position < len(tasks):
        raise ValueError(f"position: expected a whole number below {len(tasks)}, got {position!r:.60}")
    if not isinstance(key, str) or not re.fullmatch(r"[\w.-]{8,64}", key, re.ASCII):
        raise ValueError("key: expected 8 to 64 letters and digits")
    task = tasks[position]
    axis, item = study.axes[task.axis], study.items[task.item]
    answer = check_answer(axis.answer, len(item.stimuli), body.get("answer"))
    comment = body.get("comment", "")
    if not isinstance(comment, str):
        raise ValueError("comment: expected a text")
    comment = clean_text(comment)[: study.config.server.max_comment_length]
    marks = _parse_marks(body.get("marks", []), len(item.stimuli)) if axis.marks else []
    evidence = parse_evidence(body.get("evidence", {}))
    return Submission(
        position=position, key=key, answer=answer, marks=marks, comment=comment, evidence=evidence
    )


def save_vote(session: Session, study: Study, rater: Rater, submission: Submission, now: float) -> Revision:
    """Store an answer and return its revision; revisions of a vote are counted from 1.

    A repeated request (the same key) stores nothing and returns the revision stored before.
    """
    session.scalar(select(Rater.id).where(Rater.id == rater.id).with_for_update())  # one request at a time
    task = study.slots[rater.slot].tasks[submission.position]
    same_key = select(Revision).join(Vote, Vote.id == Revision.vote)
    if known := session.scalar(same_key.where(Revision.key == submission.key, Vote.rater == rater.id)):
        return known
    vote = session.scalar(
        select(Vote).where(Vote.rater == rater.id, Vote.item == task.item, Vote.axis == task.axis)
    )
    if vote is None:
        where = {"slot": rater.slot, "item": task.item, "axis": task.axis, "position": submission.position}
        vote = Vote(rater=rater.id, revision=0, **where)
        session.add(vote)
    vote.revision += 1
    session.flush()
    revision = Revision(
        vote=vote.id,
        revision=vote.revision,
        key=submission.key,
        answer=submission.answer,
        marks=submission.marks,
        comment=submission.comment,
        evidence=submission.evidence,
        answered_at=now,
    )
    session.add(revision)
    session.flush()
    return revision


def parse_evidence(value: Any) -> dict[str, Any]:
    """Return the known fields of a page's evidence, with types that records have; others are dropped.

    Raises:
        ValueError: a field has another type.
    """
    if not isinstance(value, dict):
        raise ValueError("evidence: expected an object")
    empty = asdict(Evidence())
    found = {}
    for each in fields(Evidence):
        if (given := value.get(each.name)) is None:
            continue
        kind = type(empty[each.name])
        if kind is tuple:
            number = int if each.name in ("screen", "player") else float
            if not isinstance(given, list) or not all(_is_number(part) for part in given):
                raise ValueError(f"evidence: {each.name}: expected numbers")
            found[each.name] = [number(part) for part in given[:MAX_LISTED]]
        elif kind is str:
            found[each.name] = clean_text(str(given))[:MAX_TEXT]
        elif not _is_number(given):
            raise ValueError(f"evidence: {each.name}: expected a number")
        else:
            found[each.name] = kind(given)
    return found


def clean_text(text: str) -> str:
    """Drop NUL and unpaired surrogates, which PostgreSQL does not store."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode()


def _parse_marks(value: Any, num_stimuli: int) -> list[dict[str, float]]:
    valid = isinstance(value, list) and len(value) <= MAX_MARKS
    valid = valid and all(
        isinstance(mark, dict)
        and type(mark.get("position")) is int
        and 0 <= mark["position"] < num_stimuli
        and _is_number(mark.get("seconds"))
        for mark in value
    )
    if not valid:
        raise ValueError(f"marks: expected at most {MAX_MARKS} objects with position and seconds")
    return [{"position": mark["position"], "seconds": round(float(mark["seconds"]), 3)} for mark in value]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e9 < value < 1e9
