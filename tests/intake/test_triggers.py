"""What each delivery asks of us, and why most ask for nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from bot.intake.commands import Word
from bot.intake.triggers import Command, Ignored, InstallationGone, Installed, Start, decide
from bot.intake.webhook import RepoName
from bot.model import Actor, InstallationId, Repo, TriggerKind
from tests.intake.deliveries import APP_ID, GUID, RECEIVED_AT, decided, delivered, recorded

REPO = Repo(1296269, "octo-org/hello-world", "main", private=False)
INSTALLATION = InstallationId(957387)
HUBOT = Actor(2, "hubot")
COMMENT = "issue_comment.created"
LABELED = "issues.labeled"


def started(name: str, changes: Mapping[str, object] | None = None) -> Start:
    decision = decided(name.partition(".")[0], recorded(name, changes))
    assert isinstance(decision, Start), decision
    return decision


def test_a_comment_starts_a_run() -> None:
    request = started(COMMENT).request
    assert (request.repo, request.installation_id, request.actor) == (REPO, INSTALLATION, HUBOT)
    assert (request.trigger, request.prompt) == (TriggerKind.COMMENT, "Correct the spelling.")
    assert request.comment_id == 492700400
    assert request.issue is not None
    assert (request.issue.number, request.issue.author.login) == (7, "octocat")
    assert not request.issue.is_pull_request
    assert request.triggered_at == datetime(2026, 5, 15, 15, 20, 21, tzinfo=UTC)


def test_a_comment_on_a_pull_request_starts_a_run_on_it() -> None:
    pull_request = {"url": "https://api.github.com/repos/octo-org/hello-world/pulls/7"}
    request = started(COMMENT, {"issue.pull_request": pull_request}).request
    assert request.issue is not None
    assert request.issue.is_pull_request


def test_a_label_starts_a_run_of_whoever_put_it_there() -> None:
    request = started(LABELED).request
    assert request.actor == HUBOT
    assert request.trigger is TriggerKind.LABEL
    assert request.prompt == (
        "Spelling error in the README file\n\nIt looks like you accidently spelled 'commit' with two 't's."
    )
    assert request.comment_id is None
    assert request.triggered_at == datetime(2026, 5, 15, 15, 20, 21, tzinfo=UTC)


def test_a_labels_case_does_not_matter() -> None:
    assert started(LABELED, {"label.name": "Backspace"}).request.trigger is TriggerKind.LABEL


def test_an_issue_without_a_body_is_asked_by_its_title() -> None:
    assert started(LABELED, {"issue.body": None}).request.prompt == "Spelling error in the README file"


def test_a_time_that_is_not_said_is_when_the_delivery_came() -> None:
    assert started(COMMENT, {"comment.created_at": None}).request.triggered_at == RECEIVED_AT
    assert started(LABELED, {"issue.updated_at": ...}).request.triggered_at == RECEIVED_AT


def test_one_wish_has_one_intent() -> None:
    assert started(COMMENT).intent == "1296269:comment:492700400"
    assert started(COMMENT, {"comment.id": 5}).intent != started(COMMENT).intent
    assert started(LABELED).intent == started(LABELED).intent
    later = {"issue.updated_at": "2026-05-15T16:00:00Z"}
    assert started(LABELED, later).intent != started(LABELED).intent
    assert GUID in started(LABELED, {"issue.updated_at": None}).intent


@pytest.mark.parametrize("word", list(Word))
def test_a_word_is_a_command(word: Word) -> None:
    decision = decided("issue_comment", recorded(COMMENT, {"comment.body": f"/backspace {word}"}))
    assert isinstance(decision, Command)
    assert (decision.word, decision.repo, decision.actor) == (word, REPO, HUBOT)
    assert (decision.installation_id, decision.comment_id) == (INSTALLATION, 492700400)
    assert decision.thread == started(COMMENT).request.thread


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        pytest.param(COMMENT, {"comment.body": "Thanks!"}, "no command", id="no command"),
        pytest.param(COMMENT, {"comment.body": "> /backspace fix"}, "no command", id="quoted"),
        pytest.param(COMMENT, {"comment.body": 5}, "no command", id="body is a number"),
        pytest.param(COMMENT, {"action": "edited"}, "edited", id="edited"),
        pytest.param(COMMENT, {"action": "deleted"}, "issue_comment.deleted", id="deleted"),
        pytest.param(COMMENT, {"action": "pinned"}, "issue_comment.pinned", id="an action of later years"),
        pytest.param(COMMENT, {"action": ["created"]}, "not for us: issue_comment", id="action is a list"),
        pytest.param(COMMENT, {"sender.type": "Bot"}, "not a person", id="sender is a bot"),
        pytest.param(COMMENT, {"sender.type": "Organization"}, "not a person", id="sender is an organisation"),
        pytest.param(COMMENT, {"sender.type": ...}, "not a person", id="sender of no type"),
        pytest.param(COMMENT, {"comment.user.type": "Bot"}, "not a person", id="comment of a bot"),
        pytest.param(COMMENT, {"comment.user": None}, "not a person", id="comment of nobody"),
        pytest.param(COMMENT, {"comment.performed_via_github_app": {"id": 1}}, "not a person", id="by an app"),
        pytest.param(COMMENT, {"comment.performed_via_github_app": "x"}, "not a person", id="by something odd"),
        pytest.param(COMMENT, {"comment.performed_via_github_app": {"id": APP_ID}}, "our own", id="by ourselves"),
        pytest.param(COMMENT, {"sender.id": 3}, "not the sender's own", id="somebody else's comment"),
        pytest.param(COMMENT, {"installation": ...}, "without installation", id="no installation"),
        pytest.param(COMMENT, {"repository": None}, "without repository", id="no repository"),
        pytest.param(COMMENT, {"issue": {}}, "without issue", id="no issue"),
        pytest.param(COMMENT, {"comment": ...}, "without comment", id="no comment"),
        pytest.param(LABELED, {"label.name": "bug"}, "another label", id="another label"),
        pytest.param(LABELED, {"label": ...}, "another label", id="no label"),
        pytest.param(LABELED, {"action": "opened"}, "an issue alone", id="opened with the label"),
        pytest.param(LABELED, {"action": "unlabeled"}, "issues.unlabeled", id="label taken off"),
        pytest.param(LABELED, {"sender.type": "Bot"}, "not labelled by a person", id="labelled by a bot"),
        pytest.param(LABELED, {"sender": None}, "not labelled by a person", id="labelled by nobody"),
        pytest.param(LABELED, {"sender.id": None}, "without sender", id="labelled by somebody unknown"),
        pytest.param(LABELED, {"issue.title": "", "issue.body": None}, "neither title nor body", id="empty issue"),
        pytest.param(LABELED, {"installation": None}, "without installation", id="label, no installation"),
        pytest.param("installation.created", {"action": "unsuspend"}, "installation.unsuspend", id="unsuspended"),
        pytest.param("installation.created", {"installation": ...}, "without installation", id="which one?"),
    ],
)
def test_ignored(name: str, changes: dict[str, object], reason: str) -> None:
    decision = decided(name.partition(".")[0], recorded(name, changes))
    assert isinstance(decision, Ignored), decision
    assert reason in decision.reason


@pytest.mark.parametrize("event", ["ping", "push", "pull_request", "sub_issues", "meteor_shower"])
def test_other_events_are_not_for_us(event: str) -> None:
    assert decided(event, recorded(COMMENT)) == Ignored(f"not for us: {event}.created")


def test_bots_are_known_by_type_and_not_by_name() -> None:
    named_so = {"comment.user.login": "robot[bot]", "sender.login": "robot[bot]"}
    assert started(COMMENT, named_so).request.actor.login == "robot[bot]"


def test_the_label_and_the_command_are_settings() -> None:
    labelled = delivered("issues", recorded(LABELED, {"label.name": "robot"}))
    asked = delivered("issue_comment", recorded(COMMENT, {"comment.body": "/robot go"}))
    for delivery in (labelled, asked):
        decision = decide(delivery, command="/robot", label="robot", app_id=None, received_at=RECEIVED_AT)
        assert isinstance(decision, Start)


def test_installing_names_the_repositories() -> None:
    both = (RepoName(1296269, "octo-org/hello-world"), RepoName(1300192, "octo-org/spoon-knife"))
    assert decided("installation", recorded("installation.created")) == Installed(INSTALLATION, both)
    none = recorded("installation.created", {"repositories": ...})
    assert decided("installation", none) == Installed(INSTALLATION, ())
    added = recorded(
        "installation_repositories.removed",
        {"action": "added", "repositories_added": [{"id": 9, "full_name": "octo-org/linguist"}, 5, {"id": 7}]},
    )
    assert decided("installation_repositories", added) == Installed(INSTALLATION, (RepoName(9, "octo-org/linguist"),))


@pytest.mark.parametrize("action", ["deleted", "suspend"])
def test_an_installation_goes_whole(action: str) -> None:
    payload = recorded("installation.deleted", {"action": action})
    assert decided("installation", payload) == InstallationGone(INSTALLATION, repo_ids=None)


def test_an_installation_loses_repositories() -> None:
    payload = recorded("installation_repositories.removed")
    assert decided("installation_repositories", payload) == InstallationGone(INSTALLATION, repo_ids=(1300192,))
