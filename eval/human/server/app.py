"""The web application of a study."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from eval.human.server import api, organizer, pages, platforms
from eval.human.server.context import Context
from eval.human.server.security import BodyTooLargeError, SecurityMiddleware
from eval.human.study import Study


def create_app(context: Context) -> Starlette:
    """Build the application around a study and its database."""
    origins = (context.public_url,) if context.public_url else ()
    app = Starlette(
        routes=[*pages.routes(), *api.routes(), *platforms.routes(), *organizer.routes()],
        middleware=[Middleware(SecurityMiddleware, origins=origins, secure=context.secure)],
        exception_handlers={
            HTTPException: _http_error,
            BodyTooLargeError: _too_large,
            **dict.fromkeys(api.DATABASE_ERRORS, api.database_failed),
        },
    )
    app.state.context = context
    return app


def read_consent(study: Study) -> dict[str, str]:
    """Read the study's own consent texts.

    Raises:
        ValueError: a file is missing.
    """
    texts = {}
    for language, name in study.config.consent.items():
        path = next((p for p in (study.folder / name, Path(name)) if p.is_file()), None)
        if path is None:
            raise ValueError(f"consent.{language}: no such file: {name} (looked in {study.folder} too)")
        texts[language] = path.read_text(encoding="utf-8")
    return texts


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 303 and error.headers:
        return RedirectResponse(error.headers["location"], 303)
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)


async def _too_large(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "request too large"}, status_code=413)
