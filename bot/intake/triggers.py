"""What a delivery asks of us: the contract's table "People on GitHub" as one decision. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from bot.intake import commands
from bot.intake.webhook import Comment, Delivery, RepoName
from bot.model import Actor, InstallationId, Issue, Repo, RunRequest, Sha, TriggerKind

_PERSON = "User"


@dataclass(frozen=True)
class Start:
    """A run is asked for. One wish may come in several deliveries: they have the same `intent`."""

    request: RunRequest
    intent: str
    message_key: str = ""
    """Tells the words of one delivery from those of another with the same intent; as `runs.lifecycle.NewRun` has it."""


@dataclass(frozen=True)
class Command:
    """`stop`, `retry`, `status` or `help`, said in a thread; or a command line that cannot be read."""

    word: commands.Word
    repo: Repo
    installation_id: InstallationId
    issue: Issue
    actor: Actor
    comment_id: int
    in_review: bool = False
    """The comment stands in a review of the pull request."""
    mistake: str = ""
    """What is wrong with the command line, in words for people; `word` is then `help`."""
    kind: Literal["command"] = "command"

    @property
    def thread(self) -> str:
        """The same as `RunRequest.thread`."""
        return f"{self.repo.id}#{self.issue.number}"


@dataclass(frozen=True)
class Further:
    """More words for the run that is at work on the thread; a run of their own when none is."""

    request: RunRequest
    intent: str
    kind: Literal["further"] = "further"


@dataclass(frozen=True)
class Labelled:
    """A label that is not the deployment's, but may be the repository's own: its settings have to be asked."""

    request: RunRequest
    intent: str
    kind: Literal["labelled"] = "labelled"


@dataclass(frozen=True)
class Installed:
    """The app may now use these repositories. None named: all of the installation."""

    installation_id: InstallationId
    repos: tuple[RepoName, ...]
    kind: Literal["installed"] = "installed"


@dataclass(frozen=True)
class InstallationGone:
    """Its tokens are dead already: the runs there end. `repo_ids` None means all repositories."""

    installation_id: InstallationId
    repo_ids: tuple[int, ...] | None
    suspended: bool = False
    kind: Literal["installation_gone"] = "installation_gone"


@dataclass(frozen=True)
class PullEnded:
    """A pull request was merged or closed, or opened again."""

    repo_id: int
    number: int
    merged: bool
    reopened: bool = False
    kind: Literal["pull_ended"] = "pull_ended"


@dataclass(frozen=True)
class CheckFailed:
    """A check of GitHub Actions failed on a commit, perhaps one of ours."""

    repo: Repo
    installation_id: InstallationId
    head_sha: Sha
    check_id: int
    name: str
    summary: str
    """What the check says of itself; GitHub Actions often says nothing."""
    kind: Literal["check_failed"] = "check_failed"


@dataclass(frozen=True)
class Ignored:
    """Nothing is done. The reason is for the log and the answer to GitHub."""

    reason: str


Errand: TypeAlias = Command | Further | Labelled | Installed | InstallationGone | PullEnded | CheckFailed
"""What is stored with the delivery and carried out beside the runs."""

Decision: TypeAlias = Start | Errand | Ignored


@dataclass(frozen=True)
class _Place:
    """Where something was asked, and by whom."""

    repo: Repo
    installation_id: InstallationId
    issue: Issue
    actor: Actor


def decide(delivery: Delivery, *, command: str, label: str, app_id: int | None, received_at: datetime) -> Decision:
    """`app_id` is our own; `received_at` stands in where the payload does not say when it happened."""
    match delivery.event, delivery.action:
        case "issue_comment", "created":
            return _comment(delivery, command, app_id, received_at)
        case "issues", "labeled":
            return _label(delivery, label, received_at)
        case ("installation", "created" | "deleted" | "suspend") | (
            "installation_repositories",
            "added" | "removed",
        ):
            return _installation(delivery)
        case _:
            return Ignored(f"not for us: {_NOT_READ.get(delivery.name, delivery.name[:100])}")


_NOT_READ = {
    # Somebody else may have edited it, and old words would run with today's powers.
    "issue_comment.edited": "an edited comment is not read again",
    # A label that is set at creation comes as a delivery of its own, issues.labeled.
    "issues.opened": "an issue alone asks for nothing",
}


def _comment(delivery: Delivery, command: str, app_id: int | None, received_at: datetime) -> Start | Command | Ignored:
    comment = delivery.comment
    if comment is None:
        return _incomplete(delivery, "comment")
    stranger = _not_a_persons_own(comment, delivery, app_id)
    found = None if stranger else commands.find(comment.body, command=command)
    if found is None:
        return Ignored(stranger or "no command in the comment")
    place = _place(delivery)
    if isinstance(place, Ignored):
        return place
    if isinstance(found, commands.Word):
        return Command(found, place.repo, place.installation_id, place.issue, place.actor, comment.id)
    request = RunRequest(
        repo=place.repo,
        installation_id=place.installation_id,
        trigger=TriggerKind.COMMENT,
        actor=place.actor,
        prompt=found.prompt,
        issue=place.issue,
        comment_id=comment.id,
        triggered_at=comment.created_at or received_at,
    )
    return Start(request, intent=f"{place.repo.id}:comment:{comment.id}")


def _not_a_persons_own(comment: Comment, delivery: Delivery, app_id: int | None) -> str:
    """Why this comment may not ask for anything; empty when it may. By account type, never by a name."""
    if app_id is not None and comment.app_id == app_id:
        return "our own comment"
    if comment.by_app or delivery.sender_type != _PERSON or comment.author_type != _PERSON:
        return "not a person's comment"
    if delivery.sender is None or delivery.sender != comment.author:
        return "the comment is not the sender's own"
    return ""


def _label(delivery: Delivery, label: str, received_at: datetime) -> Start | Ignored:
    # GitHub keeps a label's case but compares its name without it.
    if delivery.label is None or delivery.label.name.casefold() != label.casefold():
        return Ignored("not for us: another label")
    if delivery.sender_type != _PERSON:
        return Ignored("not labelled by a person")
    place = _place(delivery)
    if isinstance(place, Ignored):
        return place
    issue = place.issue
    prompt = f"{issue.title}\n\n{issue.body}".strip()
    if not prompt:
        return Ignored("the issue has neither title nor body")
    request = RunRequest(
        repo=place.repo,
        installation_id=place.installation_id,
        trigger=TriggerKind.LABEL,
        actor=place.actor,
        prompt=prompt,
        issue=issue,
        comment_id=None,
        # The payload has no time of the labelling, but labelling is a change of the issue.
        triggered_at=delivery.issue_updated_at or received_at,
    )
    when = delivery.issue_updated_at.isoformat() if delivery.issue_updated_at else delivery.guid
    return Start(request, intent=f"{place.repo.id}:label:{issue.number}:{delivery.label.id}:{when}")


def _installation(delivery: Delivery) -> Installed | InstallationGone | Ignored:
    if delivery.installation_id is None:
        return _incomplete(delivery, "installation")
    if delivery.action in {"created", "added"}:
        return Installed(delivery.installation_id, delivery.repositories_added)
    removed = tuple(repo.id for repo in delivery.repositories_removed)
    return InstallationGone(delivery.installation_id, removed if delivery.action == "removed" else None)


def _place(delivery: Delivery) -> _Place | Ignored:
    if delivery.installation_id is None:
        return _incomplete(delivery, "installation")
    if delivery.repo is None:
        return _incomplete(delivery, "repository")
    if delivery.issue is None:
        return _incomplete(delivery, "issue")
    if delivery.sender is None:
        return _incomplete(delivery, "sender")
    return _Place(delivery.repo, delivery.installation_id, delivery.issue, delivery.sender)


def _incomplete(delivery: Delivery, missing: str) -> Ignored:
    """Repository and organisation webhooks send such deliveries too, and an app cannot act on them."""
    return Ignored(f"not for us: {delivery.name} without {missing}")
