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

from bot.model import Actor, InstallationId, Issue, Repo

SIGNATURE_HEADER = "X-Hub-Signature-256"

_GUID = re.compile(r"[0-9A-Za-z-]{1,64}")
_EVENT = re.compile(r"[a-z_]{1,64}")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}(\[bot\])?")
_FULL_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MAX_ID = 2**63 - 1
_MAX_NUMBER = 2**31 - 1

# Deleted accounts are shown as this one: https://github.com/ghost
_GHOST = Actor(id=10137, login="ghost")


@dataclass(frozen=True)
class Comment:
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
    comment: Comment | None
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
        issue=_issue(issue),
        issue_updated_at=_time(issue, "updated_at"),
        comment=_comment(_object(payload, "comment")),
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
        default_branch=_text(raw, "default_branch"),
        private=raw.get("private") is not False,
    )


def _repo_names(raw: object) -> tuple[RepoName, ...]:
    repos = [_repo(entry) for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
    return tuple(RepoName(repo.id, repo.full_name) for repo in repos if repo)


def _issue(raw: dict[str, Any]) -> Issue | None:
    number = _id(raw, "number")
    if number is None or number > _MAX_NUMBER:
        return None
    return Issue(
        number=number,
        title=_text(raw, "title"),
        body=_text(raw, "body"),
        author=_actor(_object(raw, "user")) or _GHOST,
        is_pull_request=raw.get("pull_request") is not None,
    )


def _comment(raw: dict[str, Any]) -> Comment | None:
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
        created_at=_time(raw, "created_at"),
    )


def _label(raw: dict[str, Any]) -> Label | None:
    ident, name = _id(raw), _text(raw, "name")
    return Label(ident, name) if ident is not None and name else None


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
