"""The nouns: repository, actor, request, run, stage, outcome. No I/O."""

from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from operator import add
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
    archived: bool = False
    disabled: bool = False

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
    asked_by: str = ""
    """`key:<id>` or `user:<id>`, when it was not asked in a thread."""

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
    """Counts of what the agent was not shown, and why."""

    by_others: int = 0
    """Comments of people who may not ask."""
    edited_later: int = 0
    """Comments that were edited after the request."""
    hidden_spans: int = 0
    thread_text: int = 0
    """The title and body of the thread itself, whose author may not ask."""
    by_programs: int = 0
    """Comments of apps, other than our own."""
    no_room: int = 0
    """Comments, the oldest, for which the prompt has no room."""
    linked_by_others: int = 0
    """Issues named in the thread whose author may not ask."""
    linked_changed_later: int = 0
    linked_no_room: int = 0

    def __add__(self, other: "Withheld") -> "Withheld":
        return Withheld(*map(add, astuple(self), astuple(other)))


@dataclass(frozen=True)
class Seen:
    """What the agent was shown besides the request and the repository; listed in the pull request."""

    comments: int = 0
    linked: tuple[int, ...] = ()
    """Numbers of the issues and pull requests named in the thread."""
    images: int = 0
    images_left_out: tuple[str, ...] = ()
    """Why, one for each."""
    instructions: tuple[str, ...] = ()
    """Paths of the repository's instruction files, such as CLAUDE.md."""
    withheld: Withheld = Withheld()
