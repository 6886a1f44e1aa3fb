"""Pages rendered on the server: the shell of the rater page, privacy note, messages; media, static files."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from eval.human.server.context import Context, context_of, rater_of
from eval.human.server.media import BlindedFileResponse, url_tag
from eval.human.server.strings import Strings, localize

HERE = Path(__file__).parent
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def routes() -> list[Mount | Route]:
    """Return the routes of pages, texts, media and static files."""
    return [
        Route("/", rate, methods=["GET"]),
        Route("/join", rate, methods=["GET"]),
        Route("/privacy", privacy, methods=["GET"]),
        Route("/strings.json", strings, methods=["GET"]),
        Route("/media/{position:int}/{which:str}", media, methods=["GET"]),
        Route("/health", health, methods=["GET"]),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> Response:
    """Render a template with the texts of the language that the request prefers."""
    context = context_of(request)
    language = preferred_language(request)
    text = TEMPLATES.get_template(template).render(
        language=language,
        strings=context.strings[language],
        title=localize(context.study.plan.title, language) or context.study.plan.name,
        **values,
    )
    return Response(text, status_code=status, media_type="text/html")


def preferred_language(request: Request) -> str:
    """Return the language of `?lang=`, or the first of the browser's that the study has."""
    languages = context_of(request).study.plan.languages
    codes = [request.query_params.get("lang", "")]
    codes += [
        part.split(";")[0].strip()[:2] for part in request.headers.get("accept-language", "").split(",")
    ]
    return next((code for code in codes if code in languages), languages[0])


def rate(request: Request) -> Response:
    """Show the rater page, which the scripts fill."""
    return render(request, "rate.html")


def privacy(request: Request) -> Response:
    """Show what is stored and for what."""
    context, language = context_of(request), preferred_language(request)
    text = consent_text(context, language)
    return render(
        request, "privacy.html", paragraphs=text.split("\n\n"), contact=context.study.config.contact
    )


def consent_text(context: Context, language: str) -> str:
    """Return the study's own text of the consent page, or the shipped one."""
    return context.consent.get(language) or context.strings[language]["consent_text"]


def strings(request: Request) -> Response:
    """Return the texts of the rater page in all languages of the study."""
    context = context_of(request)
    texts: Strings = {
        language: {**each, "consent_text": consent_text(context, language)}
        for language, each in context.strings.items()
    }
    return JSONResponse(texts)


def media(request: Request) -> Response:
    """Return one file of a task in the slot of the rater who requests it; anything else does not exist."""
    context = context_of(request)
    with context.database.read() as session:
        rater = rater_of(request, session)
        identity, slot = rater.id, rater.slot
    path = media_of_task(context, slot, request.path_params["position"], request.path_params["which"])
    if path is None:
        return JSONResponse({"error": "no such medium"}, status_code=404)
    return BlindedFileResponse(path, url_tag(identity, request.url.path))


def media_of_task(context: Context, slot: str, position: int, which: str) -> Path | None:
    """Return the path of a stimulus by its place on the screen, or of a source or reference by name."""
    study = context.study
    if slot not in study.slots or not 0 <= position < len(study.slots[slot].tasks):
        return None
    task = study.slots[slot].tasks[position]
    item = study.items[task.item]
    if which.isascii() and which.isdecimal() and len(which) < 4 and int(which) < len(task.order):
        return study.media_path(item.stimuli[task.order[int(which)]])
    shown = which in ("source", "reference") and which in study.axes[task.axis].compares
    return study.media_path(item.shown[which]) if shown and which in item.shown else None


def health(request: Request) -> Response:
    """Answer 200 if the database does."""
    try:
        with context_of(request).database.read() as session:
            session.connection()
    except SQLAlchemyError:
        return JSONResponse({"database": False}, status_code=503)
    return JSONResponse({"database": True})
