"""Who may ask for a run, and where one can run, decided from what GitHub says now. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bot.model import Actor

WRITERS = frozenset({"admin", "maintain", "write"})


class Denial(StrEnum):
    """The codes that people see in a refusal."""

    NOT_AUTHORISED = "not-authorised"
    NOT_A_PERSON = "not-a-person"
    INSTALLATION_SUSPENDED = "installation-suspended"
    REPOSITORY_GONE = "repository-gone"
    REPOSITORY_ARCHIVED = "repository-archived"
    REPOSITORY_DISABLED = "repository-disabled"
    REPOSITORY_EMPTY = "repository-empty"
    BUDGET_USED_UP = "budget-used-up"
    FORK_BRANCH = "fork-branch"
    PULL_REQUEST_CLOSED = "pull-request-closed"
    DEFAULT_BRANCH = "default-branch"
    MODEL_UNKNOWN = "model-unknown"
    OPTION_UNUSABLE = "option-unusable"


@dataclass(frozen=True)
class Permission:
    """The answer of `GET /repos/{owner}/{repo}/collaborators/{login}/permission`.

    https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
    """

    level: str
    """`admin`, `write`, `read` or `none`; GitHub maps `maintain` to write and `triage` to read."""
    user_id: int
    user_type: str


@dataclass(frozen=True)
class RepoState:
    """What the repository is now. `empty`: it has no commit on its default branch."""

    archived: bool = False
    disabled: bool = False
    empty: bool = False


@dataclass(frozen=True)
class Facts:
    actor: Actor
    """As the signed payload named the person."""
    permission: Permission | None
    """None: GitHub did not say (404 or an error)."""
    repo: RepoState | None
    """None: the app cannot see the repository any more."""
    installation_suspended: bool = False
    budget_left_usd: float | None = None
    """Of the installation's day; None: no limit."""


@dataclass(frozen=True)
class Allowed:
    pass


@dataclass(frozen=True)
class Denied:
    code: Denial
    visible: bool = True
    """Whether a refusal is posted: not to bots, which might answer it, and not where we cannot post."""


Answer: TypeAlias = Allowed | Denied


def decide(facts: Facts) -> Answer:
    """Fails closed. Who may not ask learns nothing about the repository or the budget."""
    return next(_refusals(facts), Allowed())


def decide_for_key(repo: RepoState) -> Answer:
    """What a key may do was seen at the door; what is left is whether anything can be done here."""
    return next(_unusable(repo), Allowed())


def _refusals(facts: Facts) -> Iterator[Denied]:
    """In the order of their weight; only the first is said."""
    repo, permission = facts.repo, facts.permission
    if facts.installation_suspended:
        yield Denied(Denial.INSTALLATION_SUSPENDED, visible=False)
    if repo is None:
        yield Denied(Denial.REPOSITORY_GONE, visible=False)
        return
    writable = not (repo.archived or repo.disabled)
    if permission is not None and permission.user_type != "User":
        yield Denied(Denial.NOT_A_PERSON, visible=False)
    # A login may have passed to somebody else since the trigger; an id never does.
    if permission is None or permission.user_id != facts.actor.id or permission.level not in WRITERS:
        yield Denied(Denial.NOT_AUTHORISED, visible=writable)
    yield from _unusable(repo)
    if facts.budget_left_usd is not None and facts.budget_left_usd <= 0:
        yield Denied(Denial.BUDGET_USED_UP)


def _unusable(repo: RepoState) -> Iterator[Denied]:
    if repo.archived:
        yield Denied(Denial.REPOSITORY_ARCHIVED, visible=False)
    if repo.disabled:
        yield Denied(Denial.REPOSITORY_DISABLED, visible=False)
    if repo.empty:
        yield Denied(Denial.REPOSITORY_EMPTY)
