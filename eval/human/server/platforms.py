"""Crowd platforms: Prolific and Mechanical Turk send people with URL parameters and take codes back."""

import csv
import io
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from eval.human.server import raters
from eval.human.server.context import RATER_COOKIE, context_of, set_cookie
from eval.human.server.pages import render
from eval.human.server.tables import Rater, Vote
from eval.human.server.tokens import hash_token
from eval.human.server.vote_store import clean_text
from eval.human.study import Study

PARAMETERS = {
    "prolific": ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"),
    "mturk": ("workerId", "assignmentId", "hitId", "turkSubmitTo"),
}
PREVIEW = "ASSIGNMENT_ID_NOT_AVAILABLE"
RETURNED = ("returned", "timed-out", "timed out", "rejected", "abandoned")
ID_COLUMNS = ("Participant id", "participant_id", "WorkerId", "workerId")
STATUS_COLUMNS = ("Status", "status", "AssignmentStatus")
PAYMENT_COLUMNS = (
    "platform",
    "platform_id",
    "rater",
    "status",
    "code",
    "votes",
    "minutes",
    "amount",
    "currency",
)


def routes() -> list[Route]:
    """Return the addresses that platforms link to."""
    return [
        Route("/prolific", arrive_prolific, methods=["GET"]),
        Route("/mturk", arrive_mturk, methods=["GET"]),
    ]


def arrive_prolific(request: Request) -> Response:
    """Start or resume the work of a participant of Prolific."""
    return _arrive(request, "prolific")


def arrive_mturk(request: Request) -> Response:
    """Start or resume the work of a worker of Mechanical Turk; before acceptance show a preview."""
    if request.query_params.get("assignmentId", PREVIEW) == PREVIEW:
        return render(request, "message.html", message_key="mturk_preview")
    return _arrive(request, "mturk")


def _arrive(request: Request, platform: str) -> Response:
    context = context_of(request)
    fields = {name: clean_text(request.query_params.get(name, ""))[:128] for name in PARAMETERS[platform]}
    platform_id = fields[PARAMETERS[platform][0]]
    if not platform_id:
        return render(request, "message.html", status=400, message_key="no_platform_id")
    with context.database.write() as session:
        now = context.clock()
        rater = raters.find_on_platform(session, platform, platform_id)
        if rater is None:
            key = hash_token(f"{platform}:{platform_id}")
            rater = raters.create_rater(
                session,
                now,
                platform=platform,
                platform_id=platform_id,
                platform_key=key,
                platform_fields=fields,
                language=context.study.plan.languages[0],
            )
        elif rater.status == "returned":  # the platform let the person in again
            rater.status, rater.platform_fields = "invited", fields
        cookie = raters.start_session(session, rater, now)
    response = RedirectResponse("/", 303)
    set_cookie(response, RATER_COOKIE, cookie, secure=context.secure, seconds=raters.SESSION_SECONDS)
    return response


def return_work(session: Session, content: bytes, now: float) -> list[str]:
    """Release the slots of those whom a platform's export lists as returned or timed out.

    Raises:
        ValueError: the file is no CSV with an id and a status.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
        names = reader.fieldnames or []
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("file: not a CSV in UTF-8") from None
    by_id = next((name for name in ID_COLUMNS if name in names), None)
    by_status = next((name for name in STATUS_COLUMNS if name in names), None)
    if by_id is None or by_status is None:
        raise ValueError(
            f"file: expected a column {ID_COLUMNS[0]!r} or {ID_COLUMNS[2]!r}, and one named 'Status'"
        )
    try:
        gone = {row[by_id] for row in reader if (row[by_status] or "").strip().lower() in RETURNED}
    except csv.Error as error:
        raise ValueError(f"file: line {reader.line_num}: {error}") from None
    found = session.scalars(
        select(Rater).where(Rater.platform.in_(tuple(PARAMETERS)), Rater.platform_id.in_(gone))
    )
    returned = [rater for rater in found if rater.status in (*raters.AT_WORK, "expired")]
    for rater in returned:
        raters.finish(session, rater, "returned", now)
    return [rater.id for rater in returned]


def payments(session: Session, study: Study) -> list[tuple[Any, ...]]:
    """Return a row for each rater of a platform who finished or was screened out: code, minutes, amount."""
    platform = study.config.platform
    per_rater = session.execute(select(Vote.rater, func.count()).group_by(Vote.rater))
    counts = {rater: number for rater, number in per_rater}
    rows: list[tuple[Any, ...]] = []
    for rater in session.scalars(
        select(Rater).where(Rater.platform.in_(tuple(PARAMETERS))).order_by(Rater.id)
    ):
        if rater.status not in ("finished", "screened_out"):
            continue
        minutes = max(0.0, (rater.finished_at or 0.0) - (rater.started_at or rater.finished_at or 0.0)) / 60
        finished = rater.status == "finished"
        code = platform.completion_code if finished else platform.screened_out_code
        amount = round(minutes / 60 * platform.pay_per_hour, 2)
        rows.append(
            (
                rater.platform,
                rater.platform_id,
                rater.id,
                rater.status,
                code,
                counts.get(rater.id, 0),
                round(minutes, 1),
                amount,
                platform.currency,
            )
        )
    return rows


def csv_cell(value: Any) -> Any:
    """Return a cell that spreadsheets do not run as a formula."""
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
    )
