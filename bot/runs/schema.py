"""Our tables: what every reader takes as the truth about deliveries, runs and their events."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


class Instant(sa.TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite would give it back without its zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002 -- the signature is SQLAlchemy's
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ANN401, ARG002 -- the signature is SQLAlchemy's
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value


deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("guid", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
)

runs = sa.Table(
    "runs",
    metadata,
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
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("started_at", Instant),
    sa.Column("finished_at", Instant),
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
    # The pull request that the run's commits are on, how it stands, and the commit that the run put there.
    sa.Column("pull_number", sa.Integer),
    sa.Column("pull_state", sa.Text),
    sa.Column("head_sha", sa.Text),
    # The open pull request that the run goes on with, instead of opening one.
    sa.Column("continues_pull", sa.Integer),
    # Why it was stopped, when nobody in the thread asked for that.
    sa.Column("stop_reason", sa.Text),
    # By what it was asked, when not in a thread: `key:<id>` or `user:<id>`.
    sa.Column("asked_by", sa.Text),
    # What the reporter has said so far.
    sa.Column("comment_id", sa.BigInteger),
    sa.Column("comment_posts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reported_seq", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reported_at", Instant),
    sa.Column("reported_final", sa.Boolean, nullable=False, server_default=sa.false()),
)
sa.Index(
    "one_active",
    runs.c.thread,
    unique=True,
    sqlite_where=runs.c.state.in_(("queued", "running")) & (runs.c.thread != ""),
    postgresql_where=runs.c.state.in_(("queued", "running")) & (runs.c.thread != ""),
)
sa.Index("runs_unreported", runs.c.reported_final, runs.c.created_at)
sa.Index("runs_by_day", runs.c.installation_id, runs.c.created_at)

sa.Index("runs_by_pull", runs.c.repo_id, runs.c.pull_number)
sa.Index("runs_by_head", runs.c.head_sha)
sa.Index("runs_newest", runs.c.created_at, runs.c.id)

events = sa.Table(
    "events",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("body", sa.JSON, nullable=False),
)

artefacts = sa.Table(
    "artefacts",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("saved_at", Instant, nullable=False),
)

refusals = sa.Table(
    "refusals",
    metadata,
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("thread", sa.Text, primary_key=True),
    sa.Column("actor_id", sa.BigInteger, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
)

# What was said for a run after it was accepted: given to its agent, or else a run of its own once this one has ended.
messages = sa.Table(
    "messages",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("next_run_id", sa.Text, nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("said_at", Instant, nullable=False),
    sa.Column("given_at", Instant),
)
sa.Index("messages_of_run", messages.c.run_id)

# Where the label is still to be made; repository 0 stands for all of an installation, which are to be listed first.
label_work = sa.Table(
    "label_work",
    metadata,
    sa.Column("installation_id", sa.BigInteger, primary_key=True),
    sa.Column("repo_id", sa.BigInteger, primary_key=True),
    sa.Column("repo", sa.Text, nullable=False),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("not_before", Instant),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
)

# How far something has been read that others keep for us.
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# Only hashes of what opens a door are kept.
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("may_run", sa.Boolean, nullable=False),
    sa.Column("repos", sa.JSON, nullable=False),
    sa.Column("runs_per_hour", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("revoked_at", Instant),
    sa.Column("last_used_at", Instant),
)

sign_ins = sa.Table(
    "sign_ins",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("login", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)

# Somebody was sent to GitHub to sign in, and is to come back with this state.
sign_in_attempts = sa.Table(
    "sign_in_attempts",
    metadata,
    sa.Column("state_hash", sa.Text, primary_key=True),
    sa.Column("verifier", sa.Text, nullable=False),
    sa.Column("next", sa.Text, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
)

# How often something was done in a window of time, counted by all processes together.
rate_windows = sa.Table(
    "rate_windows",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("starts_at", Instant, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)

# Those that are paid for: each from before it is made until it is known to be gone.
sandboxes = sa.Table(
    "sandboxes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    # When all was in it that the agent needs.
    sa.Column("furnished_at", Instant),
    sa.Column("ended_at", Instant),
    sa.Column("usd_per_hour", sa.Float, nullable=False),
)
sa.Index("sandboxes_of_run", sandboxes.c.run_id)
sa.Index("sandboxes_open", sandboxes.c.ended_at)

# The agent at work for a run: by which name, whether it has its prompt, and up to where its words are in the log.
agents = sa.Table(
    "agents",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("told", sa.Boolean, nullable=False),
    sa.Column("byte_offset", sa.BigInteger, nullable=False),
)
