"""Delete a rater with all answers: `python -m eval.human delete-rater STUDY rater=r_12345678`.

Erases votes, revisions, evidence, the platform's id and all cookies from the database, and writes votes.jsonl
and raters.jsonl again if they exist. Copies that were made of them before are yours to delete.
"""

from dataclasses import dataclass

from eval.human.server import raters
from eval.human.server.config import DatabaseConfig
from eval.human.server.export import write_export
from eval.human.server.opening import open_study
from eval.human.study import VOTES
from src.core.config import from_command_line
from src.core.errors import UserError
from src.core.fields import opt


@dataclass(frozen=True, kw_only=True)
class DeleteConfig(DatabaseConfig):
    """Whom to delete."""

    rater: str = opt("", 'pseudonym, which the rater sees as "your code"')


def main(argv: list[str]) -> None:
    """Parse the command line and delete one rater."""
    config = from_command_line(DeleteConfig, argv, __doc__)
    if config is None:
        return
    with open_study(config) as (study, database):
        with database.write() as session:
            try:
                num_votes = raters.delete_rater(session, config.rater)
            except ValueError as error:
                raise UserError(str(error)) from error
        if database.engine.dialect.name == "sqlite":  # the write-ahead log still has the old pages
            with database.engine.connect() as connection:
                connection.exec_driver_sql("ROLLBACK")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        if (study.folder / VOTES).exists():
            write_export(study, database)
    print(f"deleted {config.rater} with {num_votes} votes")
