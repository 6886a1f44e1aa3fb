"""Slots given to raters: one at a time each, until it is finished, returned or its lease ends.

A slot that was left is given to the next rater with what is still unanswered. All times come from the
caller, and a lease that is extended never becomes shorter, so a clock that is set back takes no slot away.
"""

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from eval.human.schema import PRACTICE
from eval.human.server.tables import Lease, Rater, Vote
from eval.human.study import Study


def take_slot(
    session: Session, study: Study, rater: Rater, expires_at: float | None, now: float
) -> str | None:
    """Give a rater a slot with unanswered tasks and return its id, or None if there is none.

    A rater who had one gets it back if no other rater works on it. Overdue leases end here.
    """
    end_overdue_leases(session, now)
    if held := session.scalar(select(Lease.slot).where(Lease.rater == rater.id)):
        return held
    leased = set(session.scalars(select(Lease.slot)))
    done = _answered(session, study)
    for slot in _slots_for(session, study, rater):
        if slot in leased or done.get(slot, 0) >= num_counted(study, slot):
            continue
        try:
            with session.begin_nested():
                session.add(Lease(slot=slot, rater=rater.id, expires_at=expires_at))
        except IntegrityError:  # another server was faster
            continue
        rater.slot = slot
        return slot
    return None


def extend_lease(session: Session, rater: Rater, expires_at: float) -> bool:
    """Move the end of a rater's lease; return whether there is one."""
    lease = session.scalar(select(Lease).where(Lease.rater == rater.id))
    if lease is not None and lease.expires_at is not None:
        lease.expires_at = max(lease.expires_at, expires_at)
    return lease is not None


def release_slot(session: Session, rater: Rater) -> None:
    """End a rater's lease."""
    session.execute(delete(Lease).where(Lease.rater == rater.id))


def end_overdue_leases(session: Session, now: float) -> int:
    """End leases that ran out, mark their raters expired, and return how many."""
    overdue = select(Lease.rater).where(Lease.expires_at < now)
    raters = list(session.scalars(overdue))
    if raters:
        active = Rater.status.in_(("active", "invited"))
        session.execute(update(Rater).where(Rater.id.in_(raters), active).values(status="expired"))
        session.execute(delete(Lease).where(Lease.rater.in_(raters)))
    return len(raters)


def count_free_slots(session: Session, study: Study) -> int:
    """Return how many slots have unanswered tasks and no rater."""
    leased, done = set(session.scalars(select(Lease.slot))), _answered(session, study)
    return sum(slot not in leased and done.get(slot, 0) < num_counted(study, slot) for slot in study.slots)


def num_counted(study: Study, slot: str) -> int:
    """Return the number of a slot's tasks that are not practice."""
    return sum(study.items[task.item].kind not in PRACTICE for task in study.slots[slot].tasks)


def _answered(session: Session, study: Study) -> dict[str, int]:
    """Return slot -> number of its tasks, without practice, that anyone answered."""
    rows = session.execute(select(Vote.slot, Vote.item, Vote.axis).distinct())
    counts: dict[str, int] = {}
    for slot, item, _ in rows:
        if item in study.items and study.items[item].kind not in PRACTICE:
            counts[slot] = counts.get(slot, 0) + 1
    return counts


def _slots_for(session: Session, study: Study, rater: Rater) -> list[str]:
    """Return slots in the order to try; only the own one if the rater voted, as others share its items."""
    if rater.slot and session.scalar(select(Vote.id).where(Vote.rater == rater.id).limit(1)):
        return [rater.slot]
    own = [rater.slot] if rater.slot else []
    return own + [slot for slot in study.slots if slot != rater.slot]
