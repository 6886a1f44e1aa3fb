"""The organizer's pages: login, live status, pause and close, links, exports, files of crowd platforms."""

import csv
import io
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from eval.human.server import platforms, raters, settings
from eval.human.server.context import (
    ORGANIZER_COOKIE,
    check_attempts,
    context_of,
    count_attempt,
    set_cookie,
)
from eval.human.server.export import rater_records, vote_records
from eval.human.server.links import link_url
from eval.human.server.pages import render
from eval.human.server.status import study_status
from eval.human.server.tables import Rater
from eval.human.server.tables import Session as SessionRow
from eval.human.server.tokens import check_password, hash_token, new_token
from eval.human.server.vote_store import clean_text

SESSION_SECONDS = 12 * 3600


def routes() -> list[Route]:
    """Return the routes of the organizer's pages."""
    return [
        Route("/organizer", _page(overview), methods=["GET"]),
        Route("/organizer/login", login_page, methods=["GET"]),
        Route("/organizer/login", _form(login), methods=["POST"]),
        Route("/organizer/logout", _form(logout), methods=["POST"]),
        Route("/organizer/status", _page(status), methods=["GET"]),
        Route("/organizer/state", _form(change_state), methods=["POST"]),
        Route("/organizer/links", _form(make_links), methods=["POST"]),
        Route("/organizer/rater", _form(change_rater), methods=["POST"]),
        Route("/organizer/upload", _form(upload), methods=["POST"]),
        Route("/organizer/votes.jsonl", _page(download_votes), methods=["GET"]),
        Route("/organizer/raters.jsonl", _page(download_raters), methods=["GET"]),
        Route("/organizer/payments.csv", _page(download_payments), methods=["GET"]),
    ]


def _page(function: Callable[[Request], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(function, request)

    return endpoint


def _form(function: Callable[[Request, dict[str, Any]], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        async with request.form(max_files=1, max_fields=20) as form:
            fields: dict[str, Any] = {k: v for k, v in form.items() if isinstance(v, str)}
            for name, file in form.items():
                if not isinstance(file, str):
                    fields[name] = await file.read()
        return await run_in_threadpool(function, request, fields)

    return endpoint


def _organizer(request: Request, session: Session) -> SessionRow:
    cookie, now = request.cookies.get(ORGANIZER_COOKIE, ""), context_of(request).clock()
    row = session.get(SessionRow, hash_token(cookie)) if cookie else None
    if row is None or row.rater is not None or row.expires_at < now:
        raise HTTPException(303, headers={"location": "/organizer/login"})
    return row


def _checked(request: Request, session: Session, fields: dict[str, Any]) -> SessionRow:
    """Return the organizer's session after comparing the form's token with it."""
    row = _organizer(request, session)
    if not secrets.compare_digest(str(fields.get("csrf", "")).encode(), row.csrf.encode()):
        raise HTTPException(403, "the form is out of date; reload the page")
    return row


async def login_page(request: Request) -> Response:
    """Show the login form."""
    return render(request, "login.html", error="")


def login(request: Request, fields: dict[str, Any]) -> Response:
    """Compare the password; eight failures of an address block it for a quarter of an hour."""
    context = context_of(request)
    with context.database.write() as session:
        check_attempts(session, request, "login")
        valid = check_password(
            clean_text(str(fields.get("password", "")))[:500], settings.get(session, "password_hash")
        )
        if valid:
            cookie = new_token()
            expires_at = context.clock() + SESSION_SECONDS
            session.add(SessionRow(token_hash=hash_token(cookie), csrf=new_token(), expires_at=expires_at))
        else:
            count_attempt(session, request, "login")
    if not valid:
        return render(request, "login.html", status=403, error="wrong")
    response = RedirectResponse("/organizer", 303)
    set_cookie(response, ORGANIZER_COOKIE, cookie, secure=context.secure, seconds=SESSION_SECONDS)
    return response


def logout(request: Request, fields: dict[str, Any]) -> Response:
    """End the organizer's session."""
    with context_of(request).database.write() as session:
        session.delete(_checked(request, session, fields))
    return RedirectResponse("/organizer/login", 303)


def overview(request: Request) -> Response:
    """Show the live status."""
    context = context_of(request)
    with context.database.read() as session:
        csrf = _organizer(request, session).csrf
        figures = study_status(session, context.study, context.clock())
    return render(request, "organizer.html", csrf=csrf, status_of=figures, plan=context.study.plan)


def status(request: Request) -> Response:
    """Return the figures that the page refreshes."""
    context = context_of(request)
    with context.database.read() as session:
        csrf = _organizer(request, session).csrf
        figures = study_status(session, context.study, context.clock())
    page = render(request, "figures.html", csrf=csrf, status_of=figures, plan=context.study.plan)
    return JSONResponse({"html": bytes(page.body).decode()})


def change_state(request: Request, fields: dict[str, Any]) -> Response:
    """Open, pause or close the study."""
    if (state := fields.get("state")) not in settings.STATES:
        raise HTTPException(400, "state: expected open, paused or closed")
    with context_of(request).database.write() as session:
        _checked(request, session, fields)
        settings.put(session, "state", state)
    return RedirectResponse("/organizer", 303)


def make_links(request: Request, fields: dict[str, Any]) -> Response:
    """Return new personal links as CSV; the database keeps hashes only, so they are shown once."""
    context = context_of(request)
    number = str(fields.get("number", ""))
    if not number.isdecimal() or not 1 <= int(number) <= 1000:
        raise HTTPException(400, "number: expected 1 to 1000")
    with context.database.write() as session:
        _checked(request, session, fields)
        try:
            invited = raters.invite_raters(session, context.study, int(number), context.clock())
        except ValueError as error:
            raise HTTPException(409, str(error)) from error
    rows = [(rater.id, rater.slot, link_url(_base(request), token)) for rater, token in invited]
    return csv_response("links.csv", ("rater", "slot", "link"), rows)


def change_rater(request: Request, fields: dict[str, Any]) -> Response:
    """Revoke a rater's link, or return the rater's slot to others."""
    context, action = context_of(request), fields.get("action")
    with context.database.write() as session:
        _checked(request, session, fields)
        rater = session.get(Rater, str(fields.get("rater", "")))
        if rater is None or action not in ("revoke", "return"):
            raise HTTPException(400, "rater and action (revoke or return) are needed")
        if action == "revoke":
            raters.revoke_link(session, rater)
        elif rater.status in (*raters.AT_WORK, "expired"):
            raters.finish(session, rater, "returned", context.clock())
    return RedirectResponse("/organizer", 303)


def upload(request: Request, fields: dict[str, Any]) -> Response:
    """Read a platform's export and return the slots of those who returned their work or ran out of time."""
    context, content = context_of(request), fields.get("file")
    if not isinstance(content, bytes):
        raise HTTPException(400, "file: expected the CSV that Prolific or Mechanical Turk exports")
    with context.database.write() as session:
        _checked(request, session, fields)
        try:
            returned = platforms.return_work(session, content, context.clock())
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
    return render(request, "message.html", message_key="returned", number=len(returned))


def download_votes(request: Request) -> Response:
    """Return votes.jsonl as of now."""
    context = context_of(request)
    with context.database.read() as session:
        _organizer(request, session)
        return _json_lines("votes.jsonl", list(vote_records(session, context.study)))


def download_raters(request: Request) -> Response:
    """Return raters.jsonl with ids of platforms."""
    with context_of(request).database.read() as session:
        _organizer(request, session)
        return _json_lines("raters.jsonl", rater_records(session, with_platform_id=True))


def download_payments(request: Request) -> Response:
    """Return what each rater of a platform is paid, as CSV."""
    context = context_of(request)
    with context.database.read() as session:
        _organizer(request, session)
        rows = platforms.payments(session, context.study)
    return csv_response("payments.csv", platforms.PAYMENT_COLUMNS, rows)


def end_sessions(session: Session) -> None:
    """Sign the organizer out everywhere, after the password changed."""
    session.execute(delete(SessionRow).where(SessionRow.rater.is_(None)))


def csv_response(name: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Response:
    """Return rows as a CSV file."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows([[platforms.csv_cell(cell) for cell in row] for row in rows])
    return _attachment(name, out.getvalue(), "text/csv; charset=utf-8")


def _json_lines(name: str, records: list[Any]) -> Response:
    text = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
    return _attachment(name, text, "application/jsonl; charset=utf-8")


def _attachment(name: str, text: str, media_type: str) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=media_type, headers=headers)


def _base(request: Request) -> str:
    return context_of(request).public_url or f"{request.url.scheme}://{request.url.netloc}"
