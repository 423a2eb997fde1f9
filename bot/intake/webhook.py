"""One delivery of GitHub's: is it genuine, and what does it say? No I/O.

Every field of a payload but the headers is treated as optional: of GitHub's own recorded deliveries
a third do not fit GitHub's own schema. What is missing or of another type becomes None, so that the
decision about it (`triggers.decide`) can say why it was ignored.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from bot.model import Actor, InstallationId, Issue, Repo, Sha

SIGNATURE_HEADER = "X-Hub-Signature-256"

_GUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_EVENT = re.compile(r"[a-z_]{1,64}")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}(\[bot\])?")
_FULL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MAX_ID = 2**63 - 1
_MAX_NUMBER = 2**31 - 1

# Of what is stored. Where GitHub has a limit of its own, it is not above these.
_TITLE_CHARACTERS = 1_000
_BODY_CHARACTERS = 65_536
_NAME_CHARACTERS = 255
_PATH_CHARACTERS = 4_096
_HUNK_CHARACTERS = 8_000
"""A hunk is as long as the change above the line; its end is what the comment is about."""
_REPORT_CHARACTERS = 8_000

# Deleted accounts are shown as this one: https://github.com/ghost
_GHOST = Actor(id=10137, login="ghost")


@dataclass(frozen=True)
class Comment:
    """What a person or a program says: a comment of a thread or of a review, or the text of a review."""

    id: int
    body: str
    author: Actor | None
    author_type: str
    """GitHub's account type: `User`, `Bot`, `Organization`, `Mannequin`; empty when it was not said."""
    by_app: bool
    """Posted by a GitHub App, perhaps in a person's name."""
    app_id: int | None
    created_at: datetime | None


@dataclass(frozen=True)
class DiffPlace:
    """Where a review comment stands."""

    review_id: int | None
    path: str
    line: int | None
    """In the file as the pull request has it now, else as it was when the comment was made."""
    diff_hunk: str
    in_reply_to: int | None
    """The comment that began the thread; None for that one itself."""


@dataclass(frozen=True)
class PullRequest:
    thread: Issue
    head_sha: Sha | None
    merged: bool


@dataclass(frozen=True)
class Check:
    """A check run or a check suite."""

    id: int
    name: str
    """A suite has none."""
    app_slug: str
    """Of the app that made it; no two apps of a GitHub have the same."""
    conclusion: str
    head_sha: Sha | None
    report: str
    """What the check says of itself: title, summary and text, or the end of them."""


@dataclass(frozen=True)
class Label:
    id: int
    name: str


@dataclass(frozen=True)
class RepoName:
    """A repository as installation events name it."""

    id: int
    full_name: str


@dataclass(frozen=True)
class Delivery:
    """What we read of a delivery. None and empty: missing, or not of the type that it should have."""

    guid: str
    event: str
    action: str
    installation_id: InstallationId | None
    repo: Repo | None
    sender: Actor | None
    sender_type: str
    issue: Issue | None
    issue_updated_at: datetime | None
    pull: PullRequest | None
    comment: Comment | None
    diff_place: DiffPlace
    """Of `comment`."""
    review: Comment | None
    check: Check | None
    label: Label | None
    repositories_added: tuple[RepoName, ...]
    repositories_removed: tuple[RepoName, ...]

    @property
    def name(self) -> str:
        """Event and action as GitHub's documentation writes them: `issues.labeled`."""
        return f"{self.event}.{self.action}" if self.action else self.event


@dataclass(frozen=True)
class Unreadable:
    """Not a delivery. The reason is fit for an answer: it repeats nothing of what was sent."""

    reason: str


Parsed: TypeAlias = Delivery | Unreadable


def genuine(body: bytes, signature_header: bytes | None, secrets: Sequence[bytes]) -> bool:
    """Whether GitHub signed these bytes with one of our secrets (two while a secret is rotated).

    https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    """
    if signature_header is None:
        return False
    # Bytes against bytes: compare_digest raises on text that is not ASCII, which a stranger may send.
    signatures = (
        b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode() for secret in secrets if secret
    )
    return any(hmac.compare_digest(signature, signature_header) for signature in signatures)


def parse(headers: Mapping[str, str], body: bytes) -> Parsed:
    """Never raises, whatever the body is. Header names are compared without case."""
    sent = {name.lower(): value for name, value in headers.items()}
    event, guid = sent.get("x-github-event", ""), sent.get("x-github-delivery", "")
    if not _EVENT.fullmatch(event):
        return Unreadable("X-GitHub-Event is missing or malformed")
    if not _GUID.fullmatch(guid):
        return Unreadable("X-GitHub-Delivery is missing or malformed")
    if "form" in sent.get("content-type", ""):
        return Unreadable("the webhook's content type must be application/json")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return Unreadable("the body is not JSON")
    if not isinstance(payload, dict):
        return Unreadable("the body is not a JSON object")
    return _delivery(guid, event, payload)


def _delivery(guid: str, event: str, payload: dict[str, Any]) -> Delivery:
    sender = _object(payload, "sender")
    issue = _object(payload, "issue")
    comment = _object(payload, "comment")
    installation = _id(_object(payload, "installation"))
    # installation.created lists the first repositories under another name than installation_repositories.
    added = payload.get("repositories", payload.get("repositories_added"))
    action = _text(payload, "action")
    return Delivery(
        guid=guid,
        event=event,
        action=action if _EVENT.fullmatch(action) else "",
        installation_id=None if installation is None else InstallationId(installation),
        repo=_repo(_object(payload, "repository")),
        sender=_actor(sender),
        sender_type=_text(sender, "type"),
        issue=_issue(issue, is_pull_request=issue.get("pull_request") is not None),
        issue_updated_at=_time(issue, "updated_at"),
        pull=_pull(_object(payload, "pull_request")),
        comment=_comment(comment, "created_at"),
        diff_place=_diff_place(comment),
        review=_comment(_object(payload, "review"), "submitted_at"),
        check=_check(_object(payload, "check_run")) or _check(_object(payload, "check_suite")),
        label=_label(_object(payload, "label")),
        repositories_added=_repo_names(added),
        repositories_removed=_repo_names(payload.get("repositories_removed")),
    )


def _repo(raw: dict[str, Any]) -> Repo | None:
    ident, name = _id(raw), _text(raw, "full_name")
    if ident is None or not _FULL_NAME.fullmatch(name):
        return None
    return Repo(
        id=ident,
        full_name=name,
        default_branch=_text(raw, "default_branch")[:_NAME_CHARACTERS],
        private=raw.get("private") is not False,
        archived=raw.get("archived") is True,
        disabled=raw.get("disabled") is True,
    )


def _repo_names(raw: object) -> tuple[RepoName, ...]:
    repos = [_repo(entry) for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
    return tuple(RepoName(repo.id, repo.full_name) for repo in repos if repo)


def _issue(raw: dict[str, Any], *, is_pull_request: bool) -> Issue | None:
    number = _id(raw, "number")
    if number is None or number > _MAX_NUMBER:
        return None
    return Issue(
        number=number,
        title=_text(raw, "title")[:_TITLE_CHARACTERS],
        body=_text(raw, "body")[:_BODY_CHARACTERS],
        author=_actor(_object(raw, "user")) or _GHOST,
        is_pull_request=is_pull_request,
    )


def _pull(raw: dict[str, Any]) -> PullRequest | None:
    thread = _issue(raw, is_pull_request=True)
    if thread is None:
        return None
    return PullRequest(thread, _sha(_object(raw, "head"), "sha"), merged=raw.get("merged") is True)


def _comment(raw: dict[str, Any], time_key: str) -> Comment | None:
    ident = _id(raw)
    if ident is None:
        return None
    user = _object(raw, "user")
    return Comment(
        id=ident,
        body=_text(raw, "body"),
        author=_actor(user),
        author_type=_text(user, "type"),
        by_app=raw.get("performed_via_github_app") is not None,
        app_id=_id(_object(raw, "performed_via_github_app")),
        created_at=_time(raw, time_key),
    )


def _diff_place(comment: dict[str, Any]) -> DiffPlace:
    path, line = _text(comment, "path"), _id(comment, "line") or _id(comment, "original_line")
    return DiffPlace(
        review_id=_id(comment, "pull_request_review_id"),
        path=path if len(path) <= _PATH_CHARACTERS else "",
        line=line if line is not None and line <= _MAX_NUMBER else None,
        diff_hunk=_end(_text(comment, "diff_hunk"), _HUNK_CHARACTERS),
        in_reply_to=_id(comment, "in_reply_to_id"),
    )


def _check(raw: dict[str, Any]) -> Check | None:
    ident = _id(raw)
    if ident is None:
        return None
    output = _object(raw, "output")
    said = (_text(output, key).strip() for key in ("title", "summary", "text"))
    return Check(
        id=ident,
        name=_text(raw, "name")[:_NAME_CHARACTERS],
        app_slug=_text(_object(raw, "app"), "slug"),
        conclusion=_text(raw, "conclusion"),
        head_sha=_sha(raw, "head_sha"),
        report=_end("\n\n".join(filter(None, said)), _REPORT_CHARACTERS),
    )


def _label(raw: dict[str, Any]) -> Label | None:
    ident, name = _id(raw), _text(raw, "name")
    return Label(ident, name[:_NAME_CHARACTERS]) if ident is not None and name else None


def _actor(raw: dict[str, Any]) -> Actor | None:
    ident, login = _id(raw), _text(raw, "login")
    return Actor(ident, login) if ident is not None and _LOGIN.fullmatch(login) else None


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _text(raw: dict[str, Any], key: str) -> str:
    value = raw.get(key)
    # JSON can say NUL and half a surrogate pair; no database stores them.
    return _UNSTORABLE.sub("�", value) if isinstance(value, str) else ""


def _end(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _sha(raw: dict[str, Any], key: str) -> Sha | None:
    value = _text(raw, key)
    return Sha(value) if _SHA.fullmatch(value) else None


def _id(raw: dict[str, Any], key: str = "id") -> int | None:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= _MAX_ID else None


def _time(raw: dict[str, Any], key: str) -> datetime | None:
    try:
        read = datetime.fromisoformat(_text(raw, key))
        return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
