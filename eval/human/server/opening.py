"""A study with its database, for commands."""

from collections.abc import Iterator
from contextlib import contextmanager

from eval.human.server import settings
from eval.human.server.config import DatabaseConfig
from eval.human.server.database import Database, database_url, open_database
from eval.human.study import Study, load_study
from src.core.errors import UserError


@contextmanager
def open_study(config: DatabaseConfig) -> Iterator[tuple[Study, Database]]:
    """Load a study and open its database; both are those that votes were given on.

    Raises:
        UserError: the folder is no study, the database does not answer, or the plan is another one.
    """
    if not config.study:
        raise UserError("study: name its folder, such as: python -m eval.human COMMAND study/")
    try:
        study = load_study(config.study)
    except ValueError as error:
        raise UserError(str(error)) from error
    database = open_database(database_url(study.folder, config.database or study.config.database))
    try:
        with database.write() as session:
            settings.bind_plan(session, study)
        yield study, database
    finally:
        database.close()
