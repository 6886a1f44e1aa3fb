"""The database of votes: SQLite in the study's folder, or PostgreSQL by URL."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError, TimeoutError
from sqlalchemy.orm import Session

from src.core.errors import UserError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 15
MAX_WRITERS = 40  # connections to PostgreSQL


class Database:
    """Short transactions on one engine. A commit that returned is on the disk."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _create_engine(url)
        # SQLite has one writer, and waits for another one by sleeping ever longer; here they come in turn
        self._turn = threading.Semaphore(1 if self.engine.dialect.name == "sqlite" else MAX_WRITERS)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session whose changes are discarded."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Yield a session that is committed at the end; SQLite takes its write lock at the beginning.

        Raises:
            TimeoutError: SQLAlchemy's; other writers took too long.
        """
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise TimeoutError("the database is busy")
        try:
            engine = self.engine.execution_options(write=True)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        finally:
            self._turn.release()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def database_url(folder: Path, url: str = "") -> str:
    """Return the URL of a study's database; SQLite in its folder unless one is given."""
    return url or f"sqlite:///{folder.resolve() / 'study.db'}"


def open_database(url: str) -> Database:
    """Connect and bring the tables to the newest migration.

    Raises:
        UserError: the URL is not one, or the database does not answer; passwords are not shown.
    """
    try:
        database = Database(url)
        shown = database.engine.url.render_as_string(hide_password=True)
        _migrate(database.engine)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise UserError(
            "database: expected sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME,"
            f" got an address that SQLAlchemy cannot use ({type(error).__name__})"
        ) from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__)
        raise UserError(f"database {shown}: {reason}; is it running and reachable?") from error
    return database


def _create_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed, pool_size=20, max_overflow=MAX_WRITERS - 20, pool_pre_ping=True, pool_timeout=BUSY_SECONDS
        )
    engine = create_engine(
        parsed,
        pool_size=20,
        max_overflow=30,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """Lock for writing at once: a reader that became a writer later could fail although it may wait."""
    write = connection.get_execution_options().get("write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.execution_options(write=True).begin() as connection:
        if engine.dialect.name == "postgresql":  # two servers that start at once
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7446001)")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
