"""Serve a study: `python -m eval.human serve STUDY [key=value ...]`.

Prints the addresses of the rater page and of the organizer's page. Everything that raters answer is in the
database when their page says so; stop and start the server at any time.
"""

import logging
import os
import secrets
from urllib.parse import urlsplit

import uvicorn

from eval.human.server import settings
from eval.human.server.app import create_app, read_consent
from eval.human.server.config import ServeConfig
from eval.human.server.context import Context
from eval.human.server.database import database_url, open_database
from eval.human.server.organizer import end_sessions
from eval.human.server.strings import load_strings
from eval.human.server.tokens import check_password, hash_password
from eval.human.study import load_study
from src.core.config import from_command_line
from src.core.errors import UserError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(argv: list[str]) -> None:
    """Parse the command line and serve until Ctrl-C."""
    config = from_command_line(ServeConfig, argv, __doc__)
    if config is None:
        return
    logging.getLogger("alembic").setLevel(logging.WARNING)
    context, password = prepare(config)
    base = context.public_url or f"http://{config.host}:{config.port}"
    print(
        f"raters: {base}/ (personal links: python -m eval.human links {config.study} number=10)", flush=True
    )
    print(f"organizer: {base}/organizer" + (f"  password: {password}" if password else ""), flush=True)
    if not context.secure and config.host not in LOOPBACK:
        print(
            "warning: no https; answers and links can be read on the way. Set public_url=https://...",
            flush=True,
        )
    uvicorn.run(
        create_app(context),
        host=config.host,
        port=config.port,
        log_level="warning",
        access_log=False,  # logs would keep addresses of raters after their deletion
        server_header=False,
        proxy_headers=config.behind_proxy,
        timeout_keep_alive=30,
    )


def prepare(config: ServeConfig) -> tuple[Context, str]:
    """Load the study and open its database; return the context and a password if a new one was drawn."""
    if not config.study:
        raise UserError("serve: name the study's folder: python -m eval.human serve STUDY")
    try:
        study = load_study(config.study)
        strings, consent = load_strings(study.plan.languages), read_consent(study)
    except ValueError as error:
        raise UserError(str(error)) from error
    public_url = config.public_url.rstrip("/")
    if public_url and urlsplit(public_url).scheme not in ("http", "https"):
        raise UserError(f"public_url: expected https://HOST, got {config.public_url}")
    database = open_database(database_url(study.folder, config.database or study.config.database))
    given = config.password or os.environ.get("MOVIEGEN_STUDY_PASSWORD", "")
    with database.write() as session:
        settings.bind_plan(session, study)
        stored, drawn = settings.get(session, "password_hash"), ""
        if not given and not stored:
            given = drawn = secrets.token_urlsafe(12)
        if given and not check_password(given, stored):
            settings.put(session, "password_hash", hash_password(given))
            end_sessions(session)
    secure = public_url.startswith("https://")
    return Context(study, database, strings, secure=secure, public_url=public_url, consent=consent), drawn
