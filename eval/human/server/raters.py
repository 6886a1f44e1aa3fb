"""Raters: personal links, cookies of their browsers, status, deletion."""

import secrets
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from eval.human.schema import RaterRecord
from eval.human.server import leases, settings
from eval.human.server.tables import Lease, Rater, Vote
from eval.human.server.tables import Session as SessionRow
from eval.human.server.tokens import hash_token, new_rater_id, new_token
from eval.human.study import Study

SESSION_SECONDS = 30 * 86400
AT_WORK = ("invited", "active")
SEEN_SECONDS = 10.0  # a rater who was seen since then is not written again


def create_rater(session: Session, now: float, *, platform: str = "link", **fields: Any) -> Rater:
    """Add a rater under a new pseudonym."""
    rater = Rater(id=new_rater_id(), platform=platform, status="invited", created_at=now, **fields)
    session.add(rater)
    session.flush()
    return rater


def invite_raters(session: Session, study: Study, number: int, now: float) -> list[tuple[Rater, str]]:
    """Create raters with a slot and a personal link each; return them with the tokens of their links.

    Raises:
        ValueError: fewer slots are free.
    """
    leases.end_overdue_leases(session, now)
    if (free := leases.count_free_slots(session, study)) < number:
        raise ValueError(
            f"number: {number} links need as many free sessions, {free} of {len(study.slots)} are free; "
            "add some with `python -m eval.human extend`"
        )
    invited = []
    for _ in range(number):
        token = new_token()
        rater = create_rater(session, now, token_hash=hash_token(token))
        leases.take_slot(session, study, rater, None, now)
        invited.append((rater, token))
    return invited


def replace_link(session: Session, rater: Rater) -> str:
    """Replace a rater's link and end the sessions of the old one; return the new token."""
    revoke_link(session, rater)
    token = new_token()
    rater.token_hash = hash_token(token)
    return token


def revoke_link(session: Session, rater: Rater) -> None:
    """Make a rater's link and the cookies that came from it useless; votes stay."""
    rater.token_hash = None
    session.execute(delete(SessionRow).where(SessionRow.rater == rater.id))


def find_by_token(session: Session, token: str) -> Rater | None:
    """Return the rater of a personal link."""
    return session.scalar(select(Rater).where(Rater.token_hash == hash_token(token)))


def find_on_platform(session: Session, platform: str, platform_id: str) -> Rater | None:
    """Return the rater with an id of a platform."""
    key = hash_token(f"{platform}:{platform_id}")
    return session.scalar(select(Rater).where(Rater.platform_key == key))


def start_session(session: Session, rater: Rater, now: float) -> str:
    """Return the secret of a new cookie; other devices of the rater stay signed in."""
    session.execute(delete(SessionRow).where(SessionRow.expires_at < now))
    token = secrets.token_urlsafe(24)
    row = SessionRow(token_hash=hash_token(token), rater=rater.id, expires_at=now + SESSION_SECONDS)
    session.add(row)
    return token


def find_by_session(session: Session, cookie: str, now: float) -> Rater | None:
    """Return the rater of a cookie, unless it is over."""
    by_cookie = select(Rater).join(SessionRow, SessionRow.rater == Rater.id)
    return session.scalar(
        by_cookie.where(SessionRow.token_hash == hash_token(cookie), SessionRow.expires_at > now)
    )


def start_work(session: Session, study: Study, rater: Rater, now: float) -> None:
    """Take or extend the rater's lease; the status says whether there is work."""
    if rater.status in ("finished", "screened_out", "returned"):
        return
    if rater.status == "active" and 0 <= now - (rater.seen_at or 0) < SEEN_SECONDS:
        return
    expires_at = lease_end(study, rater, now)
    held = session.scalar(select(Lease).where(Lease.rater == rater.id))
    if held is not None and rater.slot:
        held.expires_at = max(held.expires_at or 0.0, expires_at)
    elif leases.take_slot(session, study, rater, expires_at, now) is None:
        rater.status = "expired" if rater.slot else "invited"
        return
    rater.status = "active"
    rater.started_at = rater.started_at or now
    rater.seen_at = max(rater.seen_at or now, now)


def lease_end(study: Study, rater: Rater, now: float) -> float:
    """Return until when a rater who was seen now keeps the slot; personal links keep it for longer."""
    config = study.config
    hours = config.server.link_lease_hours if rater.platform == "link" else config.lease_minutes / 60
    return now + 3600 * hours


def finish(session: Session, rater: Rater, status: str, now: float) -> None:
    """Set the final status and release the slot."""
    rater.status = status
    rater.finished_at = rater.finished_at or now
    leases.release_slot(session, rater)


def delete_rater(session: Session, rater_id: str) -> int:
    """Erase a rater with all votes, revisions, evidence and cookies; return the number of votes.

    Raises:
        ValueError: there is no such rater.
    """
    rater = session.get(Rater, rater_id)
    if rater is None:
        raise ValueError(
            f"rater: {rater_id!r} is not in the database; see the organizer's page or raters.jsonl"
        )
    num_votes = session.scalar(select(func.count()).select_from(Vote).where(Vote.rater == rater_id)) or 0
    session.delete(rater)
    session.flush()
    settings.put(session, "num_deleted", str(int(settings.get(session, "num_deleted", "0")) + 1))
    return num_votes


def rater_record(rater: Rater, *, with_platform_id: bool) -> RaterRecord:
    """Return what the files of a study say of a rater."""
    marks = {axis: (state["correct"], state["num"]) for axis, state in rater.qualification.items()}
    return RaterRecord(
        rater=rater.id,
        slots=(rater.slot,) if rater.slot else (),
        status=rater.status,  # type: ignore[arg-type]
        platform=rater.platform,
        platform_id=rater.platform_id if with_platform_id else "",
        language=rater.language,
        consented_at=settings.utc(rater.consented_at),
        started_at=settings.utc(rater.started_at),
        finished_at=settings.utc(rater.finished_at),
        checks=dict(rater.checks),
        qualification=marks,
    )
