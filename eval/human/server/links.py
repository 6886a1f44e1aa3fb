"""Personal links of raters: `python -m eval.human links STUDY number=10 out=links.csv`.

Writes rater, slot and link of each new rater. A link is a secret: its end, after `#`, is never sent in a
request line, so no log of any server contains it, and the database keeps its hash. `revoke=RATER` makes a
link useless, `replace=RATER` writes a new one for the same rater.
"""

import csv
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from eval.human.server import raters
from eval.human.server.config import DatabaseConfig
from eval.human.server.opening import open_study
from eval.human.server.tables import Rater
from src.core.atomic import atomic_write
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class LinksConfig(DatabaseConfig):
    """Links to write."""

    number: int = opt(1, "new raters", ge=1, le=10000)
    out: str = opt("links.csv", "CSV file of the links; keep it private")
    public_url: str = opt("http://127.0.0.1:8000", "address that raters open")
    revoke: str = opt("", "rater whose link ends; no new links are written")
    replace: str = opt("", "rater who gets a new link in place of the old one")


def main(argv: list[str]) -> None:
    """Parse the command line and write links."""
    config = from_command_line(LinksConfig, argv, __doc__)
    if config is None:
        return
    if Path(config.out).exists() and not config.revoke:
        raise UserError(f"out: {config.out} exists; its links would be lost, name another file")
    with open_study(config) as (study, database), database.write() as session:
        invited = _change_link(session, config) if config.revoke or config.replace else []
        if not config.revoke and not config.replace:
            try:
                invited = raters.invite_raters(session, study, config.number, time.time())
            except ValueError as error:
                raise UserError(str(error)) from error
        rows = [(rater.id, rater.slot, link_url(config.public_url, token)) for rater, token in invited]
        if rows:
            _write_links(Path(config.out), rows)
    print(f"{len(rows)} links in {config.out}" if rows else f"the link of {config.revoke} is revoked")


def link_url(base: str, token: str) -> str:
    """Return a personal link."""
    return f"{base.rstrip('/')}/join#{token}"


def _change_link(session: Session, config: LinksConfig) -> list[tuple[Rater, str]]:
    rater = session.get(Rater, config.revoke or config.replace)
    if rater is None:
        raise UserError(f"rater: {config.revoke or config.replace!r} is not in the database")
    if config.replace:
        return [(rater, raters.replace_link(session, rater))]
    raters.revoke_link(session, rater)
    return []


def _write_links(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with atomic_write(path) as temporary:
        temporary.chmod(0o600)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("rater", "slot", "link"))
            writer.writerows(rows)
    path.chmod(0o600)
