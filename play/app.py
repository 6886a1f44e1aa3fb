"""The web application of the page; everything it loads comes from this machine."""

import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from eval.human.server.security import BodyTooLargeError, SecurityMiddleware
from play.prompts import random_prompt
from play.session import PlaySession
from src.core.errors import UserError

STATIC = Path(__file__).parent / "static"
UPLOAD = "/upload"


def create_app(session: PlaySession) -> Starlette:
    """Build the application; only pages of this machine may use it."""

    def page(request: Request) -> Response:
        return FileResponse(STATIC / "index.html")

    def options(request: Request) -> Response:
        return JSONResponse(session.options())

    def draw_prompt(request: Request) -> Response:
        return JSONResponse({"prompt": random_prompt(int(request.query_params.get("seed", "0")))})

    async def generate(request: Request) -> Response:
        try:
            body: Any = json.loads(await request.body())
        except ValueError as error:
            raise UserError(f"not JSON: {error}") from error
        if not isinstance(body, dict):
            raise UserError("expected a JSON object")
        return JSONResponse(await run_in_threadpool(session.generate, body))

    async def upload(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(session.upload, await request.body()))

    hosts = ["127.0.0.1", "localhost", "testserver", session.settings.host]
    return Starlette(
        routes=[
            Route("/", page),
            Route("/options", options),
            Route("/prompt", draw_prompt),
            Route("/generate", generate, methods=["POST"]),
            Route(UPLOAD, upload, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/files", StaticFiles(directory=session.out)),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
            Middleware(SecurityMiddleware, uploads=UPLOAD),
        ],
        exception_handlers={UserError: _refused, ValueError: _refused, BodyTooLargeError: _too_large},
    )


async def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": " ".join(str(error).split())}, status_code=400)


async def _too_large(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "request too large"}, status_code=413)
