"""GitHub's answers, parsed at the door into the few facts that we use. No I/O."""

import base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from bot.github.failures import FileTooLarge
from bot.intake.access import Permission
from bot.model import Actor, InstallationId, Issue, Repo, RunRequest, Sha

Json: TypeAlias = Any
"""What `json.loads` made of an answer; it does not leave this package."""

_GHOST: Json = {"id": 0, "login": "ghost", "type": "User"}
"""A deleted account leaves what it wrote without a user."""


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


def target_of(request: RunRequest) -> Target | None:
    """What reactions are put on: the comment that asked, else the thread, as for a label or the text of a review.

    None: it was asked outside of GitHub.
    """
    if request.comment_id is not None:
        return OnComment(request.comment_id)
    if request.review is not None and request.review.comment_id:
        return OnReviewComment(request.review.comment_id)
    return OnIssue(request.issue.number) if request.issue else None


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
class ReviewComment:
    """A comment in a review thread of a pull request."""

    comment: ThreadComment
    thread_id: int
    """The comment that began the thread."""


@dataclass(frozen=True)
class ThreadOnGitHub:
    """An issue or pull request as it is now."""

    issue: Issue
    author_type: str
    updated_at: datetime
    """GitHub also counts a new comment or label, or being named elsewhere."""


@dataclass(frozen=True)
class ChangedFile:
    """What a pull request does to a file."""

    path: str
    former_path: str
    """Empty where it was not renamed."""
    status: str
    """`added`, `removed`, `modified`, `renamed`, `copied`, `changed` or `unchanged`."""
    additions: int
    deletions: int
    patch: str
    """Hunks; empty where the file is binary or its patch large."""


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
class Pull:
    """A pull request as it is now."""

    number: int
    title: str
    body: str
    author: Actor
    is_open: bool
    merged: bool
    head_ref: str
    head_sha: Sha
    head_repo_id: int | None
    """None: the fork that it came from is gone."""
    base_ref: str


@dataclass(frozen=True)
class Author:
    """Who stands in a commit."""

    name: str
    email: str


def where(request: RunRequest) -> At:
    """Where the calls of a run go."""
    on_pull_request = request.issue is not None and request.issue.is_pull_request
    return At(request.installation_id, request.repo, on_pull_request)


def permission(answer: Json) -> Permission | None:
    """None when the answer names nobody."""
    user = answer.get("user") or {}
    if "id" not in user:
        return None
    return Permission(str(answer.get("permission", "none")), int(user["id"]), str(user.get("type", "")))


def repository(answer: Json) -> Repo:
    return Repo(
        id=int(answer["id"]),
        full_name=str(answer["full_name"]),
        default_branch=str(answer["default_branch"]),
        private=bool(answer["private"]),
        archived=bool(answer.get("archived", False)),
        disabled=bool(answer.get("disabled", False)),
    )


def file_content(answer: Json) -> bytes | None:
    """The bytes of a contents answer; None when the path is no file. Raises FileTooLarge above 1 MB."""
    if not isinstance(answer, dict) or answer.get("type") != "file":
        return None
    if answer.get("encoding") != "base64":
        raise FileTooLarge
    return base64.b64decode(str(answer.get("content", "")))


def comment(answer: Json) -> ThreadComment:
    user = answer.get("user") or _GHOST
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


def review_comment(answer: Json) -> ReviewComment:
    return ReviewComment(comment(answer), int(answer.get("in_reply_to_id") or answer["id"]))


def thread(answer: Json) -> ThreadOnGitHub:
    user = answer.get("user") or _GHOST
    issue = Issue(
        number=int(answer["number"]),
        title=str(answer.get("title") or ""),
        body=str(answer.get("body") or ""),
        author=Actor(int(user["id"]), str(user["login"])),
        is_pull_request=bool(answer.get("pull_request")),
    )
    return ThreadOnGitHub(issue, str(user.get("type", "")), datetime.fromisoformat(answer["updated_at"]))


def changed_file(answer: Json) -> ChangedFile:
    return ChangedFile(
        path=str(answer["filename"]),
        former_path=str(answer.get("previous_filename") or ""),
        status=str(answer.get("status", "")),
        additions=int(answer.get("additions", 0)),
        deletions=int(answer.get("deletions", 0)),
        patch=str(answer.get("patch") or ""),
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


def pull_as_it_is(answer: Json) -> Pull:
    head = answer["head"]
    user = answer.get("user") or _GHOST
    return Pull(
        number=int(answer["number"]),
        title=str(answer.get("title") or ""),
        body=str(answer.get("body") or ""),
        author=Actor(int(user["id"]), str(user["login"])),
        is_open=answer.get("state") == "open",
        merged=bool(answer.get("merged")),
        head_ref=str(head["ref"]),
        head_sha=Sha(str(head["sha"])),
        head_repo_id=int(head["repo"]["id"]) if head.get("repo") else None,
        base_ref=str(answer["base"]["ref"]),
    )


def pull(answer: Json, *, reused: bool) -> OpenedPull:
    return OpenedPull(int(answer["number"]), str(answer["html_url"]), bool(answer.get("draft")), reused)
