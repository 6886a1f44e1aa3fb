"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create settings, raters, leases, votes, revisions, sessions and attempts."""
    op.create_table(
        "settings",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_table(
        "raters",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("token_hash", sa.String(64), unique=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("slot", sa.String(64), nullable=False),
        sa.Column("platform", sa.String(16), nullable=False),
        sa.Column("platform_id", sa.String(128), nullable=False),
        sa.Column("platform_key", sa.String(160), unique=True),
        sa.Column("platform_fields", sa.JSON(), nullable=False),
        sa.Column("language", sa.String(8), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("consented_at", sa.Float()),
        sa.Column("started_at", sa.Float()),
        sa.Column("finished_at", sa.Float()),
        sa.Column("seen_at", sa.Float()),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("num_takeovers", sa.Integer(), nullable=False),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("qualification", sa.JSON(), nullable=False),
        sa.Column("instructions", sa.JSON(), nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("slot", sa.String(64), primary_key=True),
        _rater(unique=True),
        sa.Column("expires_at", sa.Float()),
    )
    op.create_table(
        "votes",
        sa.Column("id", sa.Integer(), primary_key=True),
        _rater(),
        sa.Column("slot", sa.String(64), nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("axis", sa.String(64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.UniqueConstraint("rater", "item", "axis", name="one_vote"),
    )
    op.create_index("votes_of_slot", "votes", ["slot"])
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("vote", sa.Integer(), sa.ForeignKey("votes.id", ondelete="CASCADE"), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("marks", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("answered_at", sa.Float(), nullable=False),
        sa.UniqueConstraint("vote", "revision", name="one_revision"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        _rater(nullable=True, index=True),
        sa.Column("csrf", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("source", sa.String(80), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
    )
    op.create_index("attempts_by_source", "attempts", ["source", "at"])


def _rater(*, nullable: bool = False, **options: bool) -> sa.Column:
    key = sa.ForeignKey("raters.id", ondelete="CASCADE")
    return sa.Column("rater", sa.String(16), key, nullable=nullable, **options)
