"""What GitHub remembers: accounts, repositories, threads, pull requests, installations, tokens. No I/O."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tests.fakes.github.bare import Bare


class Role(StrEnum):
    ADMIN = "admin"
    MAINTAIN = "maintain"
    WRITE = "write"
    TRIAGE = "triage"
    READ = "read"
    NONE = "none"


class Clock:
    """The real time plus what a test moved it by."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._offset = timedelta()

    def __call__(self) -> datetime:
        return self._now() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += timedelta(seconds=seconds)


@dataclass(eq=False)
class Account:
    id: int
    login: str
    type: str
    """`User`, `Bot` or `Organization`."""
    created_at: datetime


@dataclass(eq=False)
class Label:
    id: int
    name: str
    color: str
    description: str | None


@dataclass(eq=False)
class Reaction:
    id: int
    author: Account
    content: str
    created_at: datetime


@dataclass(eq=False)
class Comment:
    id: int
    author: Account
    body: str
    created_at: datetime
    updated_at: datetime
    via_app: bool
    reactions: list[Reaction] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    """Every body that this comment ever had, the present one last: GitHub shows the edits to everybody."""


@dataclass(eq=False)
class ReviewComment(Comment):
    path: str = ""
    line: int = 1
    diff_hunk: str = ""
    commit_sha: str = ""
    in_reply_to_id: int | None = None
    review_id: int = 0


@dataclass(frozen=True, eq=False)
class Review:
    STATES: ClassVar = {"COMMENT": "COMMENTED", "APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}
    """By the event with which a review is submitted."""

    id: int
    author: Account
    body: str
    state: str
    commit_sha: str
    submitted_at: datetime


@dataclass(frozen=True, eq=False)
class CheckRun:
    """A completed check of GitHub Actions; its id is that of the job, too."""

    id: int
    suite_id: int
    name: str
    head_sha: str
    head_branch: str | None
    conclusion: str
    title: str | None
    summary: str | None
    text: str | None
    completed_at: datetime
    log: str


@dataclass(eq=False)
class Pull:
    id: int
    head_repo: Repository
    head_ref: str
    base_ref: str
    draft: bool
    head_sha: str
    """As last seen: a deleted branch leaves it standing."""
    base_sha: str
    reviewers: list[Account] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    review_comments: list[ReviewComment] = field(default_factory=list)
    merged_at: datetime | None = None
    merged_by: Account | None = None


@dataclass(frozen=True, eq=False)
class IssueEvent:
    """`labeled` or `unlabeled`: the only place where the time of a labelling stands."""

    id: int
    kind: str
    actor: Account
    label: Label
    created_at: datetime


@dataclass(eq=False)
class Issue:
    id: int
    repository: Repository
    number: int
    title: str
    body: str
    author: Account
    created_at: datetime
    updated_at: datetime
    via_app: bool
    pull: Pull | None = None
    state: str = "open"
    closed_at: datetime | None = None
    locked: bool = False
    deleted: bool = False
    labels: list[Label] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    reactions: list[Reaction] = field(default_factory=list)
    events: list[IssueEvent] = field(default_factory=list)


@dataclass(eq=False)
class Repository:
    id: int
    owner: Account
    name: str
    private: bool
    default_branch: str
    bare: Bare
    created_at: datetime
    pushed_at: datetime
    size_kilobytes: int = 0
    fork_of: Repository | None = None
    archived: bool = False
    issues_enabled: bool = True
    drafts_allowed: bool = True
    """False: as a private repository on a plan without draft pull requests."""
    rules: list[str] = field(default_factory=list)
    """Rule types that hold for every branch; `required_signatures` is enforced on pushes."""
    roles: dict[int, Role] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    """By lower-cased name."""
    threads: dict[int, Issue] = field(default_factory=dict)
    verified_commits: dict[str, datetime] = field(default_factory=dict)
    check_runs: dict[int, CheckRun] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def all_threads(self) -> list[Issue]:
        """A copy: others may open threads meanwhile."""
        return list(self.threads.values())

    @property
    def pulls(self) -> list[Issue]:
        return [thread for thread in self.all_threads if thread.pull]

    def role_of(self, account: Account) -> Role:
        if account is self.owner:
            return Role.ADMIN
        return self.roles.get(account.id, Role.NONE if self.private else Role.READ)


@dataclass(eq=False)
class Installation:
    id: int
    account: Account
    repositories: list[Repository]
    permissions: dict[str, str]
    created_at: datetime
    suspended_at: datetime | None = None


@dataclass(frozen=True, eq=False)
class Token:
    value: str
    installation: Installation
    repositories: tuple[Repository, ...] | None
    """None: every repository of the installation, also one added later."""
    permissions: dict[str, str]
    expires_at: datetime

    def reaches(self, repository: Repository) -> bool:
        within = self.installation.repositories if self.repositories is None else self.repositories
        return repository in within and repository in self.installation.repositories


@dataclass(frozen=True, eq=False)
class App:
    id: int
    slug: str
    client_id: str
    client_secret: str
    name: str
    owner: Account
    bot: Account
    permissions: dict[str, str]
    events: tuple[str, ...]
    private_key_pem: str
    public_key_pem: str
    created_at: datetime


@dataclass(frozen=True)
class Registering:
    """An app that was registered from a manifest, until its code has been exchanged."""

    name: str
    webhook_secret: str


class World:
    """All of it; `lock` is held for the moment of a change, never while a program runs or a delivery is sent."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.accounts: dict[str, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self.former_names: dict[str, int] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, Token] = {}
        self.personal_tokens: dict[str, Account] = {}
        self.manifest_codes: dict[str, Registering] = {}
        self._ids = itertools.count(1_000_001)

    # Copies, as others may add meanwhile.

    @property
    def all_accounts(self) -> list[Account]:
        return list(self.accounts.values())

    @property
    def all_repositories(self) -> list[Repository]:
        return list(self.repositories.values())

    @property
    def all_installations(self) -> list[Installation]:
        return list(self.installations.values())

    def next_id(self) -> int:
        return next(self._ids)

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def add_account(self, login: str, kind: str) -> Account:
        account = Account(self.next_id(), login, kind, self.clock())
        self.accounts[login.lower()] = account
        return account

    def register(self, code: str, name: str, webhook_secret: str) -> Registering:
        registering = self.manifest_codes[code] = Registering(name, webhook_secret)
        return registering

    def repository(self, full_name: str) -> Repository | None:
        wanted = full_name.lower()
        return next((r for r in self.all_repositories if r.full_name.lower() == wanted), None)

    def installation_of(self, repository: Repository) -> Installation | None:
        return next((i for i in self.all_installations if repository in i.repositories), None)
