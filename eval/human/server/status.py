"""Figures of the organizer's page, computed from the votes so far."""

from collections import Counter, defaultdict
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from eval.human.analysis.exclusion import apply_rules
from eval.human.answers import meets_expectation, preference
from eval.human.schema import PRACTICE, Task
from eval.human.server import leases, settings
from eval.human.server.export import rater_records, vote_records
from eval.human.server.strings import localize
from eval.human.server.tables import Lease, Rater, Revision, Vote
from eval.human.study import Study

Row = dict[str, Any]
RATER_RULES = {  # by the first word of a reason
    "gold": "max_gold_failures",
    "repeats": "min_repeat_agreement",
    "sides": "max_side_p",
    "time": "min_median_time_s",
}
ANSWER_RULES = {
    "not watched to the end": "min_watched_fraction",
    "page hidden": "max_hidden_fraction",
    "qualification not passed": "require_qualification",
}


def study_status(session: Session, study: Study, now: float) -> Row:
    """Return progress per rater and axis, agreement, times, failed gold items, and leases."""
    votes = _last_answers(session, study)
    raters = list(session.scalars(select(Rater).order_by(Rater.created_at, Rater.id)))
    by_rater: dict[str, list[Row]] = defaultdict(list)
    for vote in votes:
        by_rater[vote["rater"]].append(vote)
    held = {lease.rater: lease for lease in session.scalars(select(Lease))}
    return {
        "state": settings.get(session, "state", "open"),
        "num_deleted": int(settings.get(session, "num_deleted", "0")),
        "num_slots": len(study.slots),
        "num_free": leases.count_free_slots(session, study),
        "axes": [_axis_row(study, axis, votes) for axis in study.axes],
        "raters": [_rater_row(study, rater, held.get(rater.id), by_rater[rater.id], now) for rater in raters],
        "exclusion": exclusion_preview(session, study),
    }


def _last_answers(session: Session, study: Study) -> list[Row]:
    rows = session.execute(
        select(Vote, Revision)
        .join(Revision, Revision.vote == Vote.id)
        .where(Revision.revision == Vote.revision)
    )
    answers = []
    for vote, revision in rows:
        if vote.slot not in study.slots:
            continue
        task = study.slots[vote.slot].tasks[vote.position]
        answers.append(
            {
                "rater": vote.rater,
                "task": task,
                "kind": study.items[task.item].kind,
                "answer": revision.answer,
                "evidence": revision.evidence,
            }
        )
    return answers


def _axis_row(study: Study, axis: str, votes: list[Row]) -> Row:
    own = [vote for vote in votes if vote["task"].axis == axis and vote["kind"] not in PRACTICE]
    planned = sum(
        task.axis == axis and study.items[task.item].kind not in PRACTICE
        for slot in study.slots.values()
        for task in slot.tasks
    )
    agreeing, num_pairs = _agreement(study, own)
    return {
        "axis": localize(study.axes[axis].name, "en"),
        "votes": len(own),
        "planned": planned,
        "agreement": agreeing / num_pairs if num_pairs else None,
        "num_pairs": num_pairs,
        "median_s": _median_time(own),
        "gold_failed": sum(vote_failed(study, vote) for vote in own),
        "gold": sum(vote["kind"] == "gold" for vote in own),
    }


def _agreement(study: Study, votes: list[Row]) -> tuple[int, int]:
    """Return how many pairs of raters prefer the same stimulus of an item, and the number of pairs."""
    by_item: dict[str, list[int]] = defaultdict(list)
    for vote in votes:
        choice = _preferred(study, vote)
        if vote["kind"] == "pair" and choice is not None:
            by_item[vote["task"].item].append(choice)
    agreeing = num_pairs = 0
    for choices in by_item.values():
        counts = Counter(choices)
        agreeing += sum(n * (n - 1) // 2 for n in counts.values())
        num_pairs += len(choices) * (len(choices) - 1) // 2
    return agreeing, num_pairs


def _preferred(study: Study, vote: Row) -> int | None:
    """Return 1, 0 or -1 for the first two stimuli; None for single ratings."""
    task: Task = vote["task"]
    if len(task.order) < 2:
        return int(vote["answer"]["rating"]) if "rating" in vote["answer"] else None
    return preference(vote["answer"], task.order, 0, 1)


def vote_failed(study: Study, vote: Row) -> bool:
    """Return whether an answer to a gold item is not the expected one."""
    task: Task = vote["task"]
    return (
        vote["kind"] == "gold"
        and meets_expectation(study.items[task.item], task.order, vote["answer"]) is False
    )


def _median_time(votes: list[Row]) -> float | None:
    times = [vote["evidence"].get("time_s", 0.0) for vote in votes]
    return median(times) if times else None


def _rater_row(study: Study, rater: Rater, lease: Lease | None, votes: list[Row], now: float) -> Row:
    counted = [vote for vote in votes if vote["kind"] not in PRACTICE]
    ends = lease.expires_at if lease else None
    return {
        "rater": rater.id,
        "status": rater.status,
        "platform": rater.platform,
        "slot": rater.slot,
        "has_link": rater.token_hash is not None,
        "done": len(votes),
        "total": len(study.slots[rater.slot].tasks) if rater.slot in study.slots else 0,
        "median_s": _median_time(counted),
        "gold_failed": sum(vote_failed(study, vote) for vote in counted),
        "gold": sum(vote["kind"] == "gold" for vote in counted),
        "lease_minutes": None if ends is None else (ends - now) / 60,
        "reserved": lease is not None,
        "num_takeovers": rater.num_takeovers,
        "seen_at": settings.utc(rater.seen_at),
    }


def exclusion_preview(session: Session, study: Study) -> list[Row]:
    """Return what the report would leave out now: a row for each rule with its raters or answers."""
    rules = study.config.exclusion
    votes, raters = list(vote_records(session, study)), rater_records(session)
    found = apply_rules(votes, study.items, study.axes, raters, rules)
    by_rule: dict[str, list[str]] = defaultdict(list)
    for rater, reasons in found.excluded_raters.items():
        for reason in reasons:
            by_rule[RATER_RULES[reason.partition(":")[0]]].append(rater)
    rows: list[Row] = [
        {"rule": rule, "limit": getattr(rules, rule), "raters": by_rule[rule]}
        for rule in RATER_RULES.values()
    ]
    rows += [
        {"rule": rule, "limit": getattr(rules, rule), "answers": found.dropped.get(reason, 0)}
        for reason, rule in ANSWER_RULES.items()
    ]
    return rows
