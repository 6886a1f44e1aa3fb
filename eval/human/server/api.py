"""Requests of the rater page. Answers are JSON; a saved vote is acknowledged after its commit only."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from eval.human.server import leases, raters, settings
from eval.human.server.context import (
    RATER_COOKIE,
    Context,
    check_attempts,
    context_of,
    count_attempt,
    rater_of,
    set_cookie,
)
from eval.human.server.progress import Step, Work, load_work, next_open_step, next_step
from eval.human.server.tables import Rater
from eval.human.server.views import feedback_view, state_view, task_view
from eval.human.server.vote_store import clean_text, parse_submission, save_vote

Body = dict[str, Any]
MAX_CHECK_ITEMS = 20


def routes() -> list[Route]:
    """Return the routes of the rater page's requests."""
    return [
        Route("/api/join", _endpoint(join), methods=["POST"]),
        Route("/api/state", _endpoint(state), methods=["POST"]),
        Route("/api/consent", _endpoint(consent), methods=["POST"]),
        Route("/api/language", _endpoint(language), methods=["POST"]),
        Route("/api/check", _endpoint(check), methods=["POST"]),
        Route("/api/instructions", _endpoint(instructions), methods=["POST"]),
        Route("/api/task", _endpoint(task), methods=["POST"]),
        Route("/api/vote", _endpoint(vote), methods=["POST"]),
        Route("/api/leave", _endpoint(leave), methods=["POST"]),
    ]


def _endpoint(function: Callable[[Request, Body], Response | Body]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise HTTPException(415, "expected application/json")
        try:
            body = await request.json()
        except ValueError as error:
            raise HTTPException(400, "expected JSON") from error
        if not isinstance(body, dict):
            raise HTTPException(400, "expected a JSON object")
        result = await run_in_threadpool(function, request, body)
        return result if isinstance(result, Response) else JSONResponse(result)

    return endpoint


def join(request: Request, body: Body) -> Response:
    """Exchange the secret of a personal link, which the browser keeps out of URLs, for a cookie."""
    context, now = context_of(request), context_of(request).clock()
    with context.database.write() as session:
        check_attempts(session, request, "link")
        rater = raters.find_by_token(session, clean_text(str(body.get("token", ""))[:100]))
        if rater is None:
            count_attempt(session, request, "link")
        else:
            rater.language = _language(context, body.get("language"), rater)
            cookie = raters.start_session(session, rater, now)
    if rater is None:
        raise HTTPException(404, "unknown or revoked link")
    response = JSONResponse({"joined": True})
    set_cookie(response, RATER_COOKIE, cookie, secure=context.secure, seconds=raters.SESSION_SECONDS)
    return response


def state(request: Request, body: Body) -> Body:
    """Return the rater's page; also takes or extends the slot, and notes which browser tab is at work."""
    context = context_of(request)
    with context.database.write() as session:
        rater = rater_of(request, session)
        study_state = settings.get(session, "state", "open")
        client, take = clean_text(str(body.get("client", "")))[:64], body.get("take") is True
        superseded = bool(rater.client) and rater.client != client and not take
        if study_state == "open" and not superseded:
            raters.start_work(session, context.study, rater, context.clock())
        if take and client != rater.client:
            rater.num_takeovers += bool(rater.client)
            rater.client = client
        view = _state(session, context, rater, study_state)
    if superseded and view["page"] != "finished":
        view = {**view, "page": "superseded"}
    return view


def _state(session: Session, context: Context, rater: Rater, study_state: str) -> Body:
    """Return the view of the next step; notes the end of a rater's work."""
    work: Work | None = None
    if study_state != "open" and rater.status not in ("finished", "screened_out"):
        step = Step(study_state)
    elif not rater.slot:
        step = Step("full" if rater.status != "screened_out" else "screened_out")
    else:
        work = load_work(session, context.study, rater)
        step = next_step(session, context.study, rater, work)
        if step.page in ("finished", "screened_out"):
            raters.finish(session, rater, step.page, context.clock())
    return state_view(context.study, rater, step, work, study_state)


def consent(request: Request, body: Body) -> Body:
    """Note that the rater agreed."""
    context = context_of(request)
    with context.database.write() as session:
        rater = rater_of(request, session)
        rater.language = _language(context, body.get("language"), rater)
        rater.consented_at = rater.consented_at or context.clock()
    return {"saved": True}


def language(request: Request, body: Body) -> Body:
    """Change the language of the pages."""
    with context_of(request).database.write() as session:
        rater = rater_of(request, session)
        rater.language = _language(context_of(request), body.get("language"), rater)
    return {"saved": True}


def check(request: Request, body: Body) -> Body:
    """Store the result of the audio or the display check."""
    name, result = body.get("check"), body.get("result")
    plain = (bool, int, float, str)
    valid = isinstance(result, dict) and len(result) <= MAX_CHECK_ITEMS
    if (
        name not in ("audio", "display")
        or not valid
        or not all(isinstance(v, plain) for v in result.values())
    ):
        raise HTTPException(400, "check: expected audio or display, and a flat result")
    texts = {
        clean_text(str(k))[:40]: clean_text(v)[:200] if isinstance(v, str) else v for k, v in result.items()
    }
    with context_of(request).database.write() as session:
        rater = rater_of(request, session)
        rater.checks = {**rater.checks, name: texts}
    return {"saved": True}


def instructions(request: Request, body: Body) -> Body:
    """Note that the rater read the instructions of an axis."""
    context = context_of(request)
    axis = body.get("axis")
    if axis not in context.study.axes:
        raise HTTPException(400, "axis: unknown")
    with context.database.write() as session:
        rater = rater_of(request, session)
        if axis not in rater.instructions:
            rater.instructions = [*rater.instructions, axis]
    return {"saved": True}


def task(request: Request, body: Body) -> Body:
    """Return an answered task again, with its answer, for a revision."""
    context, position = context_of(request), body.get("position")
    with context.database.read() as session:
        rater = rater_of(request, session)
        work = load_work(session, context.study, rater) if rater.slot else None
        if work is None or type(position) is not int or position not in work.answers:
            raise HTTPException(404, "position: not answered yet")
        view = task_view(context.study, work.tasks[position], position, rater.language)
        return {"task": view, "answer": work.answers[position][1]}


def vote(request: Request, body: Body) -> Body:
    """Store an answer. The response is sent after the commit, so "saved" is never said too early."""
    context = context_of(request)
    now = context.clock()
    with context.database.write() as session:
        rater = rater_of(request, session)
        if settings.get(session, "state", "open") == "closed":
            raise HTTPException(410, "the study is closed")
        if not rater.slot or not rater.consented_at:
            raise HTTPException(409, "there is no task to answer yet")
        try:
            submission = parse_submission(context.study, rater.slot, body)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        work = load_work(session, context.study, rater)
        if not _may_answer(session, context, rater, work, submission.position):
            raise HTTPException(409, "position: this task does not come next")
        revision = save_vote(session, context.study, rater, submission, now)
        work.add_answer(submission.position, revision)
        rater.seen_at = max(rater.seen_at or now, now)
        leases.extend_lease(session, rater, raters.lease_end(context.study, rater, now))
        step = next_step(session, context.study, rater, work)
        if step.page in ("finished", "screened_out"):
            raters.finish(session, rater, step.page, now)
        given = context.study.slots[rater.slot].tasks[submission.position]
        feedback = feedback_view(context.study, given, submission.answer, rater.language)
        number = revision.revision
    return {"saved": True, "revision": number, "feedback": feedback}


def _may_answer(session: Session, context: Context, rater: Rater, work: Work, position: int) -> bool:
    """Return whether a position comes next, or is answered and thereby revised.

    An answer from a browser that was offline, which arrives after its slot was given to others, is kept.
    """
    if rater.status in ("expired", "returned") or position in work.answers:
        return True
    return next_open_step(session, context.study, rater, work).position == position


def leave(request: Request, body: Body) -> Body:
    """Return the slot to others; answers that were given stay."""
    context = context_of(request)
    with context.database.write() as session:
        rater = rater_of(request, session)
        if rater.status in raters.AT_WORK:
            raters.finish(session, rater, "returned", context.clock())
    return {"saved": True}


def _language(context: Context, chosen: Any, rater: Rater) -> str:
    return chosen if chosen in context.study.plan.languages else rater.language


async def database_failed(request: Request, error: Exception) -> Response:
    """Answer 503 while the database is away, full or busy: the page keeps the answer and tries again."""
    if isinstance(error, IntegrityError):
        return JSONResponse({"error": "conflict with another request; try again"}, status_code=503)
    return JSONResponse(
        {"error": "the database does not answer; nothing is lost, try again"}, status_code=503
    )


DATABASE_ERRORS: tuple[type[Exception], ...] = (DBAPIError, PoolTimeoutError, SQLAlchemyError)
