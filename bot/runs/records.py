"""The rows of the store as data."""

import fnmatch
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from bot.model import Outcome, RunId, RunRequest, RunState, Sha, Usage

REQUEST = TypeAdapter(RunRequest)
"""The codec of the request column."""


class PullState(StrEnum):
    """How a run's pull request stands, as far as GitHub has told."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True)
class Key:
    """An API key, without what opens the door."""

    id: str
    name: str
    may_run: bool
    """Start, stop and retry runs; a key without it only reads."""
    repos: tuple[str, ...]
    """Patterns of `owner/name`, such as `acme/*`."""
    runs_per_hour: int

    def covers(self, full_name: str) -> bool:
        return any(fnmatch.fnmatchcase(full_name.lower(), pattern.lower()) for pattern in self.repos)


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
    pull_number: int | None
    """The pull request that its commits are on."""
    pull_state: PullState | None
    head_sha: Sha | None
    """The commit that it put there."""
    continues_pull: int | None
    """The open pull request that it goes on with, instead of opening one."""
    stop_reason: str | None
    """Why it was stopped, when nobody in the thread asked for that."""
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


@dataclass(frozen=True)
class Message:
    """What was said for a run after it was accepted. Not given to its agent, it becomes the run `next_run_id`."""

    key: str
    """As `NewRun.job_key`."""
    run_id: RunId
    next_run_id: RunId
    request: RunRequest
    said_at: datetime


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


def message_of(row: Any) -> Message:  # noqa: ANN401 -- a row
    return Message(
        row.key, RunId(row.run_id), RunId(row.next_run_id), REQUEST.validate_python(row.request), row.said_at
    )


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
        pull_number=row.pull_number,
        pull_state=PullState(row.pull_state) if row.pull_state else None,
        head_sha=Sha(row.head_sha) if row.head_sha else None,
        continues_pull=row.continues_pull,
        stop_reason=row.stop_reason,
        comment_id=row.comment_id,
        comment_posts=row.comment_posts,
        reported_seq=row.reported_seq,
        reported_at=row.reported_at,
        reported_final=row.reported_final,
    )
