"""Sandboxes elsewhere: which there are, what they cost, and what goes on in them while we are away."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sandboxes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("furnished_at", _INSTANT),
        sa.Column("ended_at", _INSTANT),
        sa.Column("usd_per_hour", sa.Float, nullable=False),
    )
    op.create_index("sandboxes_of_run", "sandboxes", ["run_id"])
    op.create_index("sandboxes_open", "sandboxes", ["ended_at"])
    op.create_table(
        "agents",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("byte_offset", sa.BigInteger, nullable=False),
    )
