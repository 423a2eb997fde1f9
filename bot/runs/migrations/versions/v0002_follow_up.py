"""Pull requests that runs go on with, messages to runs, labels to make, and what was read of others' lists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("runs", sa.Column("pull_number", sa.Integer))
    op.add_column("runs", sa.Column("pull_state", sa.Text))
    op.add_column("runs", sa.Column("head_sha", sa.Text))
    op.add_column("runs", sa.Column("continues_pull", sa.Integer))
    op.add_column("runs", sa.Column("stop_reason", sa.Text))
    op.create_index("runs_by_pull", "runs", ["repo_id", "pull_number"])
    op.create_index("runs_by_head", "runs", ["head_sha"])
    op.create_table(
        "messages",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("next_run_id", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("said_at", _INSTANT, nullable=False),
        sa.Column("given_at", _INSTANT),
    )
    op.create_index("messages_of_run", "messages", ["run_id"])
    op.create_table(
        "label_work",
        sa.Column("installation_id", sa.BigInteger, primary_key=True),
        sa.Column("repo_id", sa.BigInteger, primary_key=True),
        sa.Column("repo", sa.Text, nullable=False),
        sa.Column("asked_at", _INSTANT, nullable=False),
        sa.Column("not_before", _INSTANT),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    )
    op.create_table(
        "cursors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
