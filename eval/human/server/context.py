"""Context of every route: the study, its database, the clock, and who is asking."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eval.human.server.database import Database
from eval.human.server.raters import find_by_session
from eval.human.server.strings import Strings
from eval.human.server.tables import Attempt, Rater
from eval.human.study import Study

RATER_COOKIE, ORGANIZER_COOKIE = "rater", "organizer"
MAX_ATTEMPTS = 8
ATTEMPT_SECONDS = 900.0


@dataclass
class Context:
    """One server process. `secure`: raters come by https, so cookies are sent over nothing else."""

    study: Study
    database: Database
    strings: Strings
    secure: bool = False
    clock: Callable[[], float] = time.time
    public_url: str = ""
    consent: dict[str, str] = field(default_factory=dict)


def context_of(request: Request) -> Context:
    """Return the context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


def rater_of(request: Request, session: Session) -> Rater:
    """Return the rater whose browser sent a request.

    Raises:
        HTTPException: 401, no cookie, or its link was revoked.
    """
    cookie = request.cookies.get(RATER_COOKIE, "")
    rater = find_by_session(session, cookie, context_of(request).clock()) if cookie else None
    if rater is None:
        raise HTTPException(401, "open your personal link again")
    return rater


def set_cookie(response: Response, name: str, value: str, *, secure: bool, seconds: int) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send."""
    response.set_cookie(
        name, value, max_age=seconds, httponly=True, samesite="strict", secure=secure, path="/"
    )


def count_attempt(session: Session, request: Request, purpose: str) -> None:
    """Note a failed login or an unknown link of an address."""
    session.add(Attempt(source=_source(request, purpose), at=context_of(request).clock()))


def check_attempts(session: Session, request: Request, purpose: str) -> None:
    """Refuse an address with too many recent failures.

    Raises:
        HTTPException: 429.
    """
    since = context_of(request).clock() - ATTEMPT_SECONDS
    session.execute(delete(Attempt).where(Attempt.at < since))
    recent = select(func.count()).select_from(Attempt).where(Attempt.source == _source(request, purpose))
    if (session.scalar(recent) or 0) >= MAX_ATTEMPTS:
        raise HTTPException(
            429,
            "too many failed attempts; wait 15 minutes",
            headers={"retry-after": str(int(ATTEMPT_SECONDS))},
        )


def _source(request: Request, purpose: str) -> str:
    """Return a hash of the address: the database keeps no addresses."""
    address = request.client.host if request.client else ""
    return f"{purpose}:{hashlib.sha256(f'{purpose} {address}'.encode()).hexdigest()[:40]}"
