"""Settings of one process of the study's server."""

from dataclasses import dataclass

from src.core.fields import Config, opt


@dataclass(frozen=True, kw_only=True)
class DatabaseConfig(Config):
    """A study and the database of its votes."""

    study: str = opt("", "folder written by `python -m eval.human plan`")
    database: str = opt("", "SQLAlchemy URL; empty: `database` of study.yaml, or else FOLDER/study.db")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(DatabaseConfig):
    """Address of one server process."""

    host: str = opt("127.0.0.1", "address to listen on; 0.0.0.0 for all")
    port: int = opt(8000, "port; 0 for any free one", ge=0, le=65535)
    public_url: str = opt(
        "", "address that raters open, such as https://study.example.org; empty: host and port"
    )
    password: str = opt(
        "", "organizer's password; empty: MOVIEGEN_STUDY_PASSWORD, the one set before, or a new one"
    )
    behind_proxy: bool = opt(False, "trust X-Forwarded-For and X-Forwarded-Proto of a proxy on this machine")
