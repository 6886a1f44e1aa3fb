"""Read answers of a session's file: `python -m eval.human import-html STUDY answers=FILE.json`.

The file is what the page's button saved. Its answers go into the database. Reading it twice stores nothing
twice; reading a later one of the same rater adds what is new.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from eval.human.server import raters
from eval.human.server.config import DatabaseConfig
from eval.human.server.opening import open_study
from eval.human.server.progress import load_work, next_step
from eval.human.server.tables import Rater
from eval.human.server.vote_store import parse_submission, save_vote
from eval.human.study import Study
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt

MAX_TEXT = 200


@dataclass(frozen=True, kw_only=True)
class ImportHtmlConfig(DatabaseConfig):
    """File to read."""

    answers: str = opt("", "file saved by the page's button")


def main(argv: list[str]) -> None:
    """Parse the command line and read one file."""
    config = from_command_line(ImportHtmlConfig, argv, __doc__)
    if config is None:
        return
    path = Path(config.answers)
    if not config.answers or not path.is_file():
        raise UserError(f"answers: no such file: {config.answers or '(none given)'}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"answers: {path} is not whole ({error}); save it again from the page") from error
    with open_study(config) as (study, database), database.write() as session:
        try:
            rater, number = import_answers(session, study, content, time.time())
        except ValueError as error:
            raise UserError(f"answers: {path}: {error}; nothing was read") from error
        name, status = rater.id, rater.status
    print(f"{number} answers of rater {name}, who is {status}")


def import_answers(session: Session, study: Study, content: Any, now: float) -> tuple[Rater, int]:
    """Store the answers of a file; return its rater and how many answers the file has.

    Raises:
        ValueError: the file is of another study or rater, or an answer is invalid.
    """
    if (
        not isinstance(content, dict)
        or content.get("format") != 1
        or not isinstance(content.get("votes"), list)
    ):
        raise ValueError("not the answers of a session's file")
    known = (study.plan.hash, *study.plan.lineage)
    if content.get("plan_hash") not in known:
        raise ValueError(
            f"is of another plan ({str(content.get('plan_hash'))[:12]}), not {study.plan.hash[:12]}"
        )
    rater = session.get(Rater, str(content.get("rater")))
    if rater is None or rater.platform != "offline" or rater.slot != content.get("slot"):
        raise ValueError(
            "is of a rater whom `export-html` did not create in this database, or who was deleted"
        )
    rater.consented_at = rater.consented_at or _time(content.get("consented_at"), now)
    rater.started_at = rater.started_at or rater.consented_at
    rater.checks = {name: _flat(content.get("checks", {}).get(name)) for name in content.get("checks", {})}
    rater.instructions = [axis for axis in content.get("instructions", []) if axis in study.axes]
    for vote in content["votes"]:
        submission = parse_submission(study, rater.slot, vote)
        save_vote(session, study, rater, submission, _time(vote.get("answered_at"), now))
        # each answer may end a qualification, as it did in the browser
        step = next_step(session, study, rater, load_work(session, study, rater))
        if step.page in ("finished", "screened_out"):
            raters.finish(session, rater, step.page, now)
    return rater, len(content["votes"])


def _time(value: Any, now: float) -> float:
    """Return a time of the rater's clock, unless it lies ahead of this one's."""
    return float(value) if isinstance(value, int | float) and 0 < value <= now else now


def _flat(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {
        str(k)[:40]: v if isinstance(v, int | float) else str(v)[:MAX_TEXT]
        for k, v in list(value.items())[:20]
    }
