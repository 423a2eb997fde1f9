"""Who may come in by the API and the pages: keys, sign-ins, and how often."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("runs", sa.Column("asked_by", sa.Text))
    op.create_index("runs_newest", "runs", ["created_at", "id"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("may_run", sa.Boolean, nullable=False),
        sa.Column("repos", sa.JSON, nullable=False),
        sa.Column("runs_per_hour", sa.Integer, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("revoked_at", _INSTANT),
        sa.Column("last_used_at", _INSTANT),
    )
    op.create_table(
        "sign_ins",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("login", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "sign_in_attempts",
        sa.Column("state_hash", sa.Text, primary_key=True),
        sa.Column("verifier", sa.Text, nullable=False),
        sa.Column("next", sa.Text, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "rate_windows",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("starts_at", _INSTANT, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )
