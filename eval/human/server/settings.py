"""Values of the whole study in the database: the plan that was voted on, open or closed, the password."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from eval.human.server.tables import Setting, Vote
from eval.human.study import Study
from src.core.errors import UserError

STATES = ("open", "paused", "closed")


def get(session: Session, name: str, default: str = "") -> str:
    """Return a setting."""
    row = session.get(Setting, name)
    return default if row is None else row.value


def put(session: Session, name: str, value: str) -> None:
    """Write a setting."""
    session.merge(Setting(name=name, value=value))
    session.flush()


def bind_plan(session: Session, study: Study) -> None:
    """Remember the plan's hash; refuse another plan than the one that was voted on or one that extends it.

    Raises:
        UserError: both hashes and what would work.
    """
    plan, known = study.plan, get(session, "plan_hash")
    num_votes = session.scalar(select(func.count()).select_from(Vote)) or 0
    if known and num_votes and known != plan.hash and known not in plan.lineage:
        raise UserError(
            f"study {study.folder} was edited after voting began: its plan is {plan.hash[:12]}, the "
            f"{num_votes} votes are on {known[:12]}; restore the files, or add with `eval.human extend`"
        )
    put(session, "plan_hash", plan.hash)


def utc(seconds: float | None) -> str:
    """Return a time as ISO 8601 in UTC, to the millisecond; empty for None."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
