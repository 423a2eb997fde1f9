"""Deliveries, runs, events, artefacts and refusals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("guid", sa.Text, primary_key=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job_key", sa.Text, unique=True),
        sa.Column("installation_id", sa.BigInteger, nullable=False),
        sa.Column("repo_id", sa.BigInteger, nullable=False),
        sa.Column("repo", sa.Text, nullable=False),
        sa.Column("thread", sa.Text, nullable=False),
        sa.Column("actor_id", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("started_at", _INSTANT),
        sa.Column("finished_at", _INSTANT),
        sa.Column("last_seq", sa.Integer, nullable=False, server_default="0"),
        sa.Column("percentage", sa.Integer, nullable=False, server_default="0"),
        sa.Column("base_sha", sa.Text),
        sa.Column("branch", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("budget_usd", sa.Float),
        sa.Column("session_id", sa.Text),
        sa.Column("stop_requested", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("input_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("output_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("cost_usd", sa.Float, nullable=False, server_default="0"),
        sa.Column("outcome", sa.Text),
        sa.Column("pr_url", sa.Text),
        sa.Column("comment_id", sa.BigInteger),
        sa.Column("comment_posts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reported_seq", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reported_at", _INSTANT),
        sa.Column("reported_final", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    active = sa.text("state in ('queued', 'running') and thread <> ''")
    op.create_index("one_active", "runs", ["thread"], unique=True, sqlite_where=active, postgresql_where=active)
    op.create_index("runs_unreported", "runs", ["reported_final", "created_at"])
    op.create_index("runs_by_day", "runs", ["installation_id", "created_at"])
    op.create_table(
        "events",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
    )
    op.create_table(
        "artefacts",
        sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("saved_at", _INSTANT, nullable=False),
    )
    op.create_table(
        "refusals",
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("thread", sa.Text, primary_key=True),
        sa.Column("actor_id", sa.BigInteger, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
    )
