"""The nouns: repository, actor, request, run, stage, outcome. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

RunId = NewType("RunId", str)
InstallationId = NewType("InstallationId", int)
Sha = NewType("Sha", str)


class TriggerKind(StrEnum):
    COMMENT = "comment"
    LABEL = "label"
    API = "api"
    CLI = "cli"
    CHECKS = "checks"
    """Checks of GitHub Actions that failed on a commit of ours."""


class Stage(StrEnum):
    """In the order in which a run passes them; the values are the contract's words."""

    QUEUED = "queued"
    AUTHORIZING = "authorizing"
    CLONING = "cloning"
    ANALYZING = "analyzing"
    CODING = "coding"
    VERIFYING = "verifying"
    COMMITTING = "committing"
    PUSHING = "pushing"
    PR_CREATION = "pr_creation"


class Outcome(StrEnum):
    PULL_REQUEST = "pull_request"
    COMMITS_PUSHED = "commits_pushed"
    NO_CHANGES = "no_changes"
    NEEDS_INPUT = "needs_input"
    REFUSED = "refused"
    STOPPED = "stopped"
    BUDGET_EXCEEDED = "budget_exceeded"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


class RunState(StrEnum):
    """`waiting`: behind another run of its thread. `queued`: given to the engine."""

    ACCEPTED = "accepted"
    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True)
class Repo:
    id: int
    full_name: str
    default_branch: str
    private: bool

    @property
    def owner(self) -> str:
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        return self.full_name.partition("/")[2]


@dataclass(frozen=True)
class Actor:
    """Who asked. Authorised by `id`; the login is only for addressing."""

    id: int
    login: str


@dataclass(frozen=True)
class Issue:
    """The thread as it was in the signed payload, at the trigger."""

    number: int
    title: str
    body: str
    author: Actor
    is_pull_request: bool


@dataclass(frozen=True)
class Options:
    """What the command line of a comment says besides the prompt."""

    base: str = ""
    model: str = ""
    budget_usd: float | None = None
    draft: bool = False


@dataclass(frozen=True)
class ReviewPlace:
    """Where in a pull request's diff a review comment stands."""

    comment_id: int
    """Of the review comment that asked; 0 for the text of the review itself."""
    path: str
    line: int | None
    diff_hunk: str
    thread_id: int
    """The comment that began the thread; `comment_id` when this one did."""


@dataclass(frozen=True)
class RunRequest:
    """What somebody asked for, frozen at the trigger."""

    repo: Repo
    installation_id: InstallationId
    trigger: TriggerKind
    actor: Actor
    prompt: str
    issue: Issue | None
    comment_id: int | None
    """The trigger comment; None for a label, the API and the command line."""
    triggered_at: datetime
    options: Options = Options()
    review: ReviewPlace | None = None
    """Where it was asked, when that was in a review; `comment_id` is then None."""
    head_seen: Sha | None = None
    """The pull request's head as the payload shows it; not every payload does."""
    label: str = ""
    """The label that asked."""
    checks_round: int = 0
    """How often failing checks were handed back before, this time included; 0 for what people ask."""

    @property
    def thread(self) -> str:
        """One run at a time works on a thread; runs without an issue are threads of their own."""
        return f"{self.repo.id}#{self.issue.number}" if self.issue else ""


@dataclass(frozen=True)
class Usage:
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost_usd + other.cost_usd,
        )


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True)
class CheckResult:
    """One command that Backspace itself ran, and how it ended."""

    command: str
    exit_code: int
    seconds: float
    when: When
    output: str


@dataclass(frozen=True)
class ContextComment:
    """A comment of the thread, offered to the agent as context."""

    author: Actor
    body: str
    created_at: datetime
    updated_at: datetime | None = None


@dataclass(frozen=True)
class Withheld:
    """Counts of what the agent was not shown, and why; listed in the pull request."""

    by_others: int = 0
    edited_later: int = 0
    hidden_spans: int = 0
