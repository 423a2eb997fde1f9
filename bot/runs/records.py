"""The rows of the store as data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from bot.model import Outcome, RunId, RunRequest, RunState, Sha, Usage

REQUEST = TypeAdapter(RunRequest)
"""The codec of the request column."""


@dataclass(frozen=True)
class Run:
    """A run's row."""

    id: RunId
    request: RunRequest
    state: RunState
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    last_seq: int
    base_sha: Sha | None
    """The commit that it works from, once that is known."""
    branch: str | None
    model: str | None
    budget_usd: float | None
    session_id: str | None
    stop_requested: bool
    usage: Usage
    outcome: Outcome | None
    pr_url: str | None
    comment_id: int | None
    comment_posts: int
    reported_seq: int
    reported_at: datetime | None
    reported_final: bool


@dataclass(frozen=True)
class Received:
    """What is kept of a delivery."""

    guid: str
    event: str
    action: str
    decision: str


@dataclass(frozen=True)
class Accepted:
    run_id: RunId


@dataclass(frozen=True)
class Duplicate:
    """This delivery, or this very request under another delivery, was seen before."""

    run_id: RunId | None


class Stopped(StrEnum):
    """What asking a run to stop came to."""

    AT_ONCE = "at_once"
    """It had not begun, and has ended now."""
    SOON = "soon"
    """It is at work, and ends with its work kept."""
    BEFORE = "before"
    """It had ended already."""


@dataclass(frozen=True)
class Place:
    """Where a run stands: `ahead` others come before it; 0 means that it is its turn."""

    ahead: int


def usage_of(row: Any) -> Usage:  # noqa: ANN401 -- a row
    return Usage(row.input_tokens, row.output_tokens, row.cache_read_tokens, row.cache_write_tokens, row.cost_usd)


def run_of(row: Any) -> Run:  # noqa: ANN401 -- a row
    return Run(
        id=RunId(row.id),
        request=REQUEST.validate_python(row.request),
        state=RunState(row.state),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        last_seq=row.last_seq,
        base_sha=Sha(row.base_sha) if row.base_sha else None,
        branch=row.branch,
        model=row.model,
        budget_usd=row.budget_usd,
        session_id=row.session_id,
        stop_requested=row.stop_requested,
        usage=usage_of(row),
        outcome=Outcome(row.outcome) if row.outcome else None,
        pr_url=row.pr_url,
        comment_id=row.comment_id,
        comment_posts=row.comment_posts,
        reported_seq=row.reported_seq,
        reported_at=row.reported_at,
        reported_final=row.reported_final,
    )
