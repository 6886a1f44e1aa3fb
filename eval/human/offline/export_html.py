"""Write a session as one HTML file: `python -m eval.human export-html STUDY out=session.html [slot=SLOT]`.

The file has all clips, pages and scripts; a rater opens it in a browser that needs no network, answers are
kept in that browser, and a button saves them as a file for `import-html`. The session is reserved, so that no
other rater gets it. Systems are as blind as on the server; only practice items carry expected answers.
"""

import base64
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from sqlalchemy.orm import Session

from eval.human.schema import Task
from eval.human.server import leases, raters
from eval.human.server.app import read_consent
from eval.human.server.config import DatabaseConfig
from eval.human.server.media import TYPES
from eval.human.server.opening import open_study
from eval.human.server.strings import load_strings, localize
from eval.human.server.tables import Lease, Rater
from eval.human.server.views import PRACTICE_KINDS, axis_view, task_view
from eval.human.study import Study
from src.core.atomic import atomic_write
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt

STATIC = Path(__file__).parent.parent / "server" / "static"
HERE = Path(__file__).parent
SCRIPTS = (
    "dom",
    "queue",
    "backend",
    "player",
    "watch",
    "answers",
    "checks",
    "pages",
    "clips",
    "task",
    "main",
)


@dataclass(frozen=True, kw_only=True)
class ExportHtmlConfig(DatabaseConfig):
    """Session to write, and its file."""

    out: str = opt("session.html", "file to write")
    slot: str = opt("", "session; empty for the next free one")
    language: str = opt("", "language that the pages begin in; empty for the study's first")


def main(argv: list[str]) -> None:
    """Parse the command line and write one file."""
    config = from_command_line(ExportHtmlConfig, argv, __doc__)
    if config is None:
        return
    if Path(config.out).exists():
        raise UserError(f"out: {config.out} exists; name another file")
    with open_study(config) as (study, database):
        language = config.language or study.plan.languages[0]
        if language not in study.plan.languages:
            raise UserError(f"language: expected one of {', '.join(study.plan.languages)}, got {language!r}")
        with database.write() as session:
            rater = _reserve(session, study, config.slot, language)
            text = render_session(study, rater)
            with atomic_write(config.out) as path:
                path.write_text(text, encoding="utf-8")
            name, slot = rater.id, rater.slot
    megabytes = Path(config.out).stat().st_size / 2**20
    print(f"{config.out}: session {slot} of rater {name}, {megabytes:.1f} MB")


def render_session(study: Study, rater: Rater) -> str:
    """Return the file's text. Scripts are allowed by their hashes; nothing can be loaded or sent."""
    tasks = study.slots[rater.slot].tasks
    media = {mid for task in tasks for mid in study.items[task.item].stimuli}
    media |= {shown for task in tasks for shown in _shown_media(study, task).values()}
    names = {mid: f"m{number}" for number, mid in enumerate(sorted(media))}
    data = {
        "rater": rater.id,
        "slot": rater.slot,
        "plan_hash": study.plan.hash,
        "title": study.plan.title,
        "name": study.plan.name,
        "language": rater.language,
        "languages": list(study.plan.languages),
        "contact": study.config.contact,
        "watch_fraction": study.config.server.watch_fraction,
        "min_width": study.config.server.screen_min_width,
        "tries": study.config.qualification_tries,
        "code": study.config.platform.completion_code,
        "strings": _strings(study),
        "tasks": [_task(study, task, position, names) for position, task in enumerate(tasks)],
    }
    script = "\n".join(_script(name) for name in SCRIPTS)
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    page = Environment(loader=FileSystemLoader(HERE), autoescape=True).get_template("session.html")
    return page.render(
        title=localize(study.plan.title, rater.language) or study.plan.name,
        language=rater.language,
        script=script,
        style=style,
        script_hash=_csp_hash(script),
        style_hash=_csp_hash(style),
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        media=[(name, _media_type(study, mid), _encoded(study, mid)) for mid, name in names.items()],
    )


def _reserve(session: Session, study: Study, slot: str, language: str) -> Rater:
    """Create the file's rater and give the session to it, for good."""
    now = time.time()
    rater = raters.create_rater(session, now, platform="offline", language=language)
    if slot:
        if slot not in study.slots:
            raise UserError(f"slot: {slot!r} is not in the plan")
        if session.get(Lease, slot) is not None:
            raise UserError(f"slot: another rater works on {slot}; return it on the organizer's page first")
        rater.slot = slot
    taken = leases.take_slot(session, study, rater, None, now)
    if taken is None or (slot and taken != slot):
        raise UserError(f"slot: {slot or 'no session'} is free; every task is answered or in work")
    rater.status = "active"
    return rater


def _strings(study: Study) -> dict[str, Any]:
    consent = read_consent(study)
    strings = load_strings(study.plan.languages)
    return {
        language: {**texts, "consent_text": consent.get(language, texts["consent_text"])}
        for language, texts in strings.items()
    }


def _task(study: Study, task: Task, position: int, names: dict[str, str]) -> dict[str, Any]:
    """Return a task in all languages, with names of media in the file for URLs."""
    item = study.items[task.item]
    view = task_view(study, task, position, study.plan.languages[0])
    for stimulus, index in zip(view["stimuli"], task.order, strict=True):
        stimulus["url"] = names[item.stimuli[index]]
    for name, media_id in _shown_media(study, task).items():
        view["shown"][name] = names[media_id]
    view["axes"] = {language: axis_view(study.axes[task.axis], language) for language in study.plan.languages}
    view["min_correct"] = study.axes[task.axis].min_correct
    if item.kind in PRACTICE_KINDS:
        view["explanations"] = {each: localize(item.explanation, each) for each in study.plan.languages}
        best_first = item.expected or ()
        view["expected"] = (
            [task.order.index(best_first[0]), task.order.index(best_first[-1])] if best_first else []
        )
        view["has_expected"] = item.expected is not None
    return view


def _shown_media(study: Study, task: Task) -> dict[str, str]:
    item, axis = study.items[task.item], study.axes[task.axis]
    return {
        name: item.shown[name]
        for name in ("source", "reference")
        if name in axis.compares and name in item.shown
    }


def _script(name: str) -> str:
    path = HERE / "backend.js" if name == "backend" else STATIC / f"{name}.js"
    return path.read_text(encoding="utf-8")


def _media_type(study: Study, media_id: str) -> str:
    return TYPES.get(Path(study.media[media_id].file).suffix, "application/octet-stream")


def _encoded(study: Study, media_id: str) -> str:
    return base64.b64encode(study.media_path(media_id).read_bytes()).decode()


def _csp_hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
