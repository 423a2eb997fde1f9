"""GitHub's answers, parsed at the door into the few facts that we use. No I/O."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from bot.github.failures import GitHubFailed
from bot.intake.access import Permission
from bot.model import Actor, InstallationId, Repo, Sha

Json: TypeAlias = Any
"""What `json.loads` made of an answer; it does not leave this package."""


@dataclass(frozen=True)
class At:
    """Where a call goes: a repository, through an installation."""

    installation_id: InstallationId
    repo: Repo
    on_pull_request: bool = False
    """Answers in a pull request's conversation need one more permission."""


@dataclass(frozen=True)
class OnIssue:
    """A reaction's place: the issue or pull request itself."""

    number: int


@dataclass(frozen=True)
class OnComment:
    """A reaction's place: a comment of an issue or pull request."""

    comment_id: int


@dataclass(frozen=True)
class OnReviewComment:
    """A reaction's place: a comment in a review thread."""

    comment_id: int


Target: TypeAlias = OnIssue | OnComment | OnReviewComment


@dataclass(frozen=True)
class ThreadComment:
    id: int
    author: Actor
    author_type: str
    """`User`, `Bot`, `Organization` or `Mannequin`."""
    body: str
    created_at: datetime
    updated_at: datetime
    by_app: bool
    """Posted by an app, perhaps in a person's name."""
    app_id: str
    """The posting app's id; empty when GitHub does not say."""


@dataclass(frozen=True)
class TreeEntry:
    """A changed path of a commit. `sha` None: the path is deleted."""

    path: str
    mode: str
    sha: Sha | None


@dataclass(frozen=True)
class SignedCommit:
    sha: Sha
    verified: bool
    reason: str
    """GitHub's word for why it is verified or not, such as `valid` or `unsigned`."""


@dataclass(frozen=True)
class CommitOnGitHub:
    sha: Sha
    message: str
    parents: tuple[Sha, ...]
    verified: bool


@dataclass(frozen=True)
class OpenedPull:
    number: int
    url: str
    draft: bool
    reused: bool
    """It was there already, from an earlier try; its title and body are now as asked for."""


@dataclass(frozen=True)
class Author:
    """Who stands in a commit."""

    name: str
    email: str


def permission(answer: Json) -> Permission | None:
    """None when the answer names nobody."""
    user = answer.get("user") or {}
    if "id" not in user:
        return None
    return Permission(str(answer.get("permission", "none")), int(user["id"]), str(user.get("type", "")))


def file_content(answer: Json) -> bytes | None:
    """The bytes of a contents answer; None when the path is no file. Raises GitHubFailed above 1 MB."""
    if not isinstance(answer, dict) or answer.get("type") != "file":
        return None
    if answer.get("encoding") != "base64":
        raise GitHubFailed("the file is too large to be read through the API")
    return base64.b64decode(str(answer.get("content", "")))


def comment(answer: Json) -> ThreadComment:
    # A deleted account leaves comments without a user.
    user = answer.get("user") or {"id": 0, "login": "ghost", "type": "User"}
    app = answer.get("performed_via_github_app") or {}
    return ThreadComment(
        id=int(answer["id"]),
        author=Actor(int(user["id"]), str(user["login"])),
        author_type=str(user.get("type", "User")),
        body=str(answer.get("body") or ""),
        created_at=datetime.fromisoformat(answer["created_at"]),
        updated_at=datetime.fromisoformat(answer["updated_at"]),
        by_app=bool(app),
        app_id=str(app.get("id", "")),
    )


def signed_commit(answer: Json) -> SignedCommit:
    verification = answer.get("verification") or {}
    return SignedCommit(
        Sha(str(answer["sha"])), bool(verification.get("verified")), str(verification.get("reason", ""))
    )


def commit(answer: Json) -> CommitOnGitHub:
    return CommitOnGitHub(
        sha=Sha(str(answer["sha"])),
        message=str(answer.get("message", "")),
        parents=tuple(Sha(str(parent["sha"])) for parent in answer.get("parents", ())),
        verified=bool((answer.get("verification") or {}).get("verified")),
    )


def pull(answer: Json, *, reused: bool) -> OpenedPull:
    return OpenedPull(int(answer["number"]), str(answer["html_url"]), bool(answer.get("draft")), reused)
