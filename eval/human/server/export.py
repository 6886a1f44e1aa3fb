"""Write votes and raters of the database as files: `python -m eval.human export STUDY`.

Writes votes.jsonl and raters.jsonl into the study's folder, which `report` reads. They name raters by
pseudonyms; `platform_ids=true` adds the ids of crowd platforms to raters.jsonl: keep that one private.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from eval.human.schema import Evidence, RaterRecord, VoteRecord
from eval.human.server import settings
from eval.human.server.config import DatabaseConfig
from eval.human.server.database import Database
from eval.human.server.opening import open_study
from eval.human.server.raters import rater_record
from eval.human.server.tables import Rater, Revision, Vote
from eval.human.study import RATERS, VOTES, Study, write_records
from src.core.config import from_command_line
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class ExportConfig(DatabaseConfig):
    """Selection of what to write."""

    platform_ids: bool = opt(False, "add the ids of crowd platforms to raters.jsonl")


def main(argv: list[str]) -> None:
    """Parse the command line and write both files."""
    config = from_command_line(ExportConfig, argv, __doc__)
    if config is None:
        return
    with open_study(config) as (study, database):
        votes, raters = write_export(study, database, with_platform_id=config.platform_ids)
    print(f"{votes} votes in {study.folder / VOTES}, {raters} raters in {study.folder / RATERS}")


def export_votes(folder: Path | str, url: str = "", *, with_platform_id: bool = False) -> tuple[int, int]:
    """Write votes.jsonl and raters.jsonl of a study from its database; return their numbers of lines."""
    with open_study(DatabaseConfig(study=str(folder), database=url)) as (study, database):
        return write_export(study, database, with_platform_id=with_platform_id)


def write_export(study: Study, database: Database, *, with_platform_id: bool = False) -> tuple[int, int]:
    """Write both files from an open database."""
    with database.read() as session:
        votes, raters = list(vote_records(session, study)), rater_records(session, with_platform_id)
    write_records(study.folder / VOTES, votes)
    write_records(study.folder / RATERS, raters)
    return len(votes), len(raters)


def rater_records(session: Session, with_platform_id: bool = False) -> list[RaterRecord]:
    """Return all raters by pseudonym, which says nothing of the order in which they came."""
    raters = session.scalars(select(Rater).order_by(Rater.id))
    return [rater_record(rater, with_platform_id=with_platform_id) for rater in raters]


def vote_records(session: Session, study: Study) -> Iterator[VoteRecord]:
    """Yield all votes with their revisions, by rater and position."""
    rows = session.execute(
        select(Vote, Revision)
        .join(Revision, Revision.vote == Vote.id)
        .order_by(Vote.rater, Vote.position, Vote.id, Revision.revision)
    ).all()
    vote: Vote | None = None
    revisions: list[Revision] = []
    for each, revision in rows:
        if vote is not None and each.id != vote.id:
            yield _record(study, vote, revisions)
            revisions = []
        vote = each
        revisions.append(revision)
    if vote is not None:
        yield _record(study, vote, revisions)


def _record(study: Study, vote: Vote, revisions: list[Revision]) -> VoteRecord:
    last = revisions[-1]
    tasks = study.slots[vote.slot].tasks
    lists = {name: tuple(value) for name, value in last.evidence.items() if isinstance(value, list)}
    return VoteRecord(
        rater=vote.rater,
        slot=vote.slot,
        item=vote.item,
        axis=vote.axis,
        order=tasks[vote.position].order,
        answer=last.answer,
        answered_at=settings.utc(last.answered_at),
        index=vote.position,
        revisions=tuple(
            {"answer": each.answer, "answered_at": settings.utc(each.answered_at)} for each in revisions[:-1]
        ),
        marks=tuple(last.marks),
        comment=last.comment,
        evidence=Evidence(**{**last.evidence, **lists}),
    )
