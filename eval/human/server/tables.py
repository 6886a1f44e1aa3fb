"""Tables of the database. Migrations in `migrations/` create them; a test compares both.

Times are seconds since 1970 UTC of the server's clock. Tokens of links and cookies are stored as hashes only.
"""

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Table(DeclarativeBase):
    """Base of the tables; JSON columns are declared as `dict` or `list`."""

    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON}


class Setting(Table):
    """One value of the whole study: plan hash, state, password hash, number of deleted raters."""

    __tablename__ = "settings"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Rater(Table):
    """A person who rates, known by a pseudonym. `client` is the browser tab that worked last."""

    __tablename__ = "raters"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    status: Mapped[str] = mapped_column(String(16), default="invited")
    slot: Mapped[str] = mapped_column(String(64), default="")
    platform: Mapped[str] = mapped_column(String(16), default="link")
    platform_id: Mapped[str] = mapped_column(String(128), default="")
    platform_key: Mapped[str | None] = mapped_column(String(160), unique=True)
    platform_fields: Mapped[dict[str, Any]] = mapped_column(default=dict)
    language: Mapped[str] = mapped_column(String(8), default="en")
    created_at: Mapped[float] = mapped_column(Float)
    consented_at: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[float | None] = mapped_column(Float)
    finished_at: Mapped[float | None] = mapped_column(Float)
    seen_at: Mapped[float | None] = mapped_column(Float)
    client: Mapped[str] = mapped_column(String(64), default="")
    num_takeovers: Mapped[int] = mapped_column(Integer, default=0)
    checks: Mapped[dict[str, Any]] = mapped_column(default=dict)
    qualification: Mapped[dict[str, Any]] = mapped_column(default=dict)
    instructions: Mapped[list[Any]] = mapped_column(default=list)


class Lease(Table):
    """The rater who works on a slot; the primary key allows one. `expires_at` None: never."""

    __tablename__ = "leases"
    slot: Mapped[str] = mapped_column(String(64), primary_key=True)
    rater: Mapped[str] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"), unique=True)
    expires_at: Mapped[float | None] = mapped_column(Float)


class Vote(Table):
    """The last answer of a rater to an item on an axis."""

    __tablename__ = "votes"
    __table_args__ = (
        UniqueConstraint("rater", "item", "axis", name="one_vote"),
        Index("votes_of_slot", "slot"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    rater: Mapped[str] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"))
    slot: Mapped[str] = mapped_column(String(64))
    item: Mapped[str] = mapped_column(String(64))
    axis: Mapped[str] = mapped_column(String(64))
    position: Mapped[int] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(Integer)


class Revision(Table):
    """One answer as it was given. `key` is the browser's, so that a repeated request stores nothing twice."""

    __tablename__ = "revisions"
    __table_args__ = (UniqueConstraint("vote", "revision", name="one_revision"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    vote: Mapped[int] = mapped_column(ForeignKey("votes.id", ondelete="CASCADE"))
    revision: Mapped[int] = mapped_column(Integer)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    answer: Mapped[dict[str, Any]]
    marks: Mapped[list[Any]] = mapped_column(default=list)
    comment: Mapped[str] = mapped_column(Text, default="")
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    answered_at: Mapped[float] = mapped_column(Float)


class Session(Table):
    """A cookie of a rater, or of the organizer where `rater` is None. `csrf` guards the organizer's forms."""

    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    rater: Mapped[str | None] = mapped_column(ForeignKey("raters.id", ondelete="CASCADE"), index=True)
    csrf: Mapped[str] = mapped_column(String(64), default="")
    expires_at: Mapped[float] = mapped_column(Float)


class Attempt(Table):
    """A failed login or an unknown link, by a hash of the address, for the rate limit."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_source", "source", "at"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(80))
    at: Mapped[float] = mapped_column(Float)
