"""What a delivery asks of us: the contract's table "People on GitHub" as one decision. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from bot.intake import commands
from bot.intake.options import Mistake
from bot.intake.webhook import Comment, Delivery, RepoName
from bot.model import Actor, InstallationId, Issue, Repo, ReviewPlace, RunRequest, Sha, TriggerKind

_PERSON = "User"
_ACTIONS_SLUG = "github-actions"
# `action_required` waits for a person, `cancelled` and `stale` say nothing about the code.
_FAILURES = frozenset({"failure", "timed_out"})


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
    """0 for the text of a review, which is no comment."""
    in_review: bool = False
    """It was said in a review of the pull request."""
    mistake: str = ""
    """What is wrong with the command line, in words for people; `word` is then `help`."""
    review_id: int = 0
    """The review whose text it is; 0 for a comment."""
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
class _Spoken:
    """Words of one delivery, and by what those who act on them know them again."""

    words: Comment
    thread: Issue | None
    key: str
    wish: str
    """Equal for words that are one run; `key` where they are one alone."""
    review: ReviewPlace | None = None
    review_id: int = 0
    """As `Command` has it."""
    head_seen: Sha | None = None


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
        case ("issue_comment" | "pull_request_review_comment", "created") | ("pull_request_review", "submitted"):
            return _said(delivery, command, app_id, received_at)
        case "issues", "labeled":
            return _label(delivery, label, received_at)
        case ("installation", "created" | "deleted" | "suspend") | (
            "installation_repositories",
            "added" | "removed",
        ):
            return _installation(delivery)
        case "pull_request", "closed" | "reopened":
            return _pull(delivery)
        case "check_run" | "check_suite", "completed":
            return _check(delivery)
        case _:
            return Ignored(f"not for us: {_NOT_READ.get(delivery.name, delivery.name[:100])}")


# Somebody else may have edited it, and old words would run with today's powers.
_EDITED = "an edited comment is not read again"
_NOT_READ = {
    "issue_comment.edited": _EDITED,
    "pull_request_review_comment.edited": _EDITED,
    "pull_request_review.edited": _EDITED,
    # A label that is set at creation comes as a delivery of its own, issues.labeled.
    "issues.opened": "an issue alone asks for nothing",
    "pull_request.labeled": "a label asks on issues only",
    "installation.unsuspend": "an installation that works again asks for nothing",
}


def _said(
    delivery: Delivery, command: str, app_id: int | None, received_at: datetime
) -> Start | Command | Further | Ignored:
    spoken = _spoken(delivery)
    if spoken is None:
        return _incomplete(delivery, "review" if delivery.event == "pull_request_review" else "comment")
    stranger = _not_a_persons_own(spoken.words, delivery, app_id)
    found = None if stranger else commands.find(spoken.words.body, command=command)
    if found is None:
        return Ignored(stranger or "no command in the comment")
    place = _place(delivery, spoken.thread)
    if isinstance(place, Ignored):
        return place
    if not isinstance(found, commands.Run):
        return _command(found, spoken, place)
    in_review = spoken.review is not None
    request = RunRequest(
        repo=place.repo,
        installation_id=place.installation_id,
        trigger=TriggerKind.COMMENT,
        actor=place.actor,
        prompt=found.prompt,
        issue=place.issue,
        comment_id=None if in_review else spoken.words.id,
        triggered_at=spoken.words.created_at or received_at,
        options=found.options,
        review=spoken.review,
        head_seen=spoken.head_seen,
    )
    key, wish = f"{place.repo.id}:{spoken.key}", f"{place.repo.id}:{spoken.wish}"
    if found.further:
        # Each of a review's comments is handed over by itself.
        return Further(request, intent=key)
    return Start(request, intent=wish, message_key=key if key != wish else "")


def _spoken(delivery: Delivery) -> _Spoken | None:
    if delivery.event == "pull_request_review":
        return _review(delivery)
    comment = delivery.comment
    if comment is None:
        return None
    if delivery.event == "pull_request_review_comment":
        return _review_comment(delivery, comment)
    key = f"comment:{comment.id}"
    return _Spoken(comment, delivery.issue, key=key, wish=key)


def _review_comment(delivery: Delivery, comment: Comment) -> _Spoken:
    where, pull = delivery.diff_place, delivery.pull
    key = f"review-comment:{comment.id}"
    return _Spoken(
        comment,
        pull.thread if pull else None,
        key=key,
        wish=key if where.review_id is None else f"review:{where.review_id}",
        review=ReviewPlace(comment.id, where.path, where.line, where.diff_hunk, where.in_reply_to or comment.id),
        head_seen=pull.head_sha if pull else None,
    )


def _review(delivery: Delivery) -> _Spoken | None:
    review, pull = delivery.review, delivery.pull
    if review is None:
        return None
    return _Spoken(
        review,
        pull.thread if pull else None,
        key=f"review-body:{review.id}",
        wish=f"review:{review.id}",
        review=ReviewPlace(comment_id=0, path="", line=None, diff_hunk="", thread_id=0),
        review_id=review.id,
        head_seen=pull.head_sha if pull else None,
    )


def _command(found: commands.Word | Mistake, spoken: _Spoken, place: _Place) -> Command:
    word, mistake = (commands.Word.HELP, found.words) if isinstance(found, Mistake) else (found, "")
    return Command(
        word,
        place.repo,
        place.installation_id,
        place.issue,
        place.actor,
        comment_id=0 if spoken.review_id else spoken.words.id,
        in_review=spoken.review is not None,
        mistake=mistake,
        review_id=spoken.review_id,
    )


def _not_a_persons_own(words: Comment, delivery: Delivery, app_id: int | None) -> str:
    """Why these words may not ask for anything; empty when they may. By account type, never by a name."""
    if app_id is not None and words.app_id == app_id:
        return "our own comment"
    if words.by_app or delivery.sender_type != _PERSON or words.author_type != _PERSON:
        return "not a person's comment"
    if delivery.sender is None or delivery.sender != words.author:
        return "the comment is not the sender's own"
    return ""


def _label(delivery: Delivery, label: str, received_at: datetime) -> Start | Labelled | Ignored:
    if delivery.label is None:
        return _incomplete(delivery, "label")
    if delivery.sender_type != _PERSON:
        return Ignored("not labelled by a person")
    place = _place(delivery, delivery.issue)
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
        label=delivery.label.name,
    )
    when = delivery.issue_updated_at.isoformat() if delivery.issue_updated_at else delivery.guid
    intent = f"{place.repo.id}:label:{issue.number}:{delivery.label.id}:{when}"
    # GitHub keeps a label's case but compares its name without it.
    ours = delivery.label.name.casefold() == label.casefold()
    return Start(request, intent) if ours else Labelled(request, intent)


def _installation(delivery: Delivery) -> Installed | InstallationGone | Ignored:
    ident = delivery.installation_id
    if ident is None:
        return _incomplete(delivery, "installation")
    match delivery.action:
        case "deleted" | "suspend":
            return InstallationGone(ident, repo_ids=None, suspended=delivery.action == "suspend")
        case "removed":
            removed = tuple(repo.id for repo in delivery.repositories_removed)
            return InstallationGone(ident, removed) if removed else _incomplete(delivery, "repositories")
        case "added" if not delivery.repositories_added:
            return _incomplete(delivery, "repositories")
        case _:
            return Installed(ident, delivery.repositories_added)


def _pull(delivery: Delivery) -> PullEnded | Ignored:
    where = _where(delivery)
    if isinstance(where, Ignored):
        return where
    if delivery.pull is None:
        return _incomplete(delivery, "pull_request")
    repo, _ = where
    reopened = delivery.action == "reopened"
    merged = delivery.pull.merged and not reopened
    return PullEnded(repo.id, delivery.pull.thread.number, merged=merged, reopened=reopened)


def _check(delivery: Delivery) -> CheckFailed | Ignored:
    check = delivery.check
    if check is None:
        return _incomplete(delivery, "check")
    if check.app_slug != _ACTIONS_SLUG:
        return Ignored("not for us: a check of another app")
    if check.conclusion not in _FAILURES:
        return Ignored("not for us: the check did not fail")
    where = _where(delivery)
    if isinstance(where, Ignored):
        return where
    if check.head_sha is None:
        return _incomplete(delivery, "head_sha")
    return CheckFailed(*where, check.head_sha, check.id, check.name or "workflow", check.report)


def _place(delivery: Delivery, thread: Issue | None) -> _Place | Ignored:
    where = _where(delivery)
    if isinstance(where, Ignored):
        return where
    if thread is None:
        return _incomplete(delivery, "issue")
    if delivery.sender is None:
        return _incomplete(delivery, "sender")
    return _Place(*where, thread, delivery.sender)


def _where(delivery: Delivery) -> tuple[Repo, InstallationId] | Ignored:
    if delivery.installation_id is None:
        return _incomplete(delivery, "installation")
    if delivery.repo is None:
        return _incomplete(delivery, "repository")
    return delivery.repo, delivery.installation_id


def _incomplete(delivery: Delivery, missing: str) -> Ignored:
    """Repository and organisation webhooks send such deliveries too, and an app cannot act on them."""
    return Ignored(f"not for us: {delivery.name} without {missing}")
