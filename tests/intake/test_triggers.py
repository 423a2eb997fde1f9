"""What each delivery asks of us, and why most ask for nothing."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.intake.commands import Word
from bot.intake.triggers import (
    CheckFailed,
    Command,
    Further,
    Ignored,
    InstallationGone,
    Installed,
    Labelled,
    PullEnded,
    Start,
    decide,
)
from bot.intake.webhook import RepoName
from bot.model import Actor, InstallationId, Options, Repo, ReviewPlace, Sha, TriggerKind
from tests.intake.deliveries import APP_ID, GUID, RECEIVED_AT, decided, delivered, recorded

REPO = Repo(1296269, "octo-org/hello-world", "main", private=False)
INSTALLATION = InstallationId(957387)
HUBOT = Actor(2, "hubot")
COMMENT = "issue_comment.created"
LABELED = "issues.labeled"
REMARK = "pull_request_review_comment.created"
REVIEW = "pull_request_review.submitted"
CLOSED = "pull_request.closed"
CHECK = "check_run.completed"
HEAD = Sha("ec26c3e57ca3a959ca5aad62de7213c562f8c821")


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
    assert (request.comment_id, request.label) == (None, "backspace")
    assert request.triggered_at == datetime(2026, 5, 15, 15, 20, 21, tzinfo=UTC)


def test_a_label_set_at_creation_asks_once() -> None:
    opened = decided("issues", recorded(LABELED, {"action": "opened"}))
    assert isinstance(opened, Ignored)
    assert started(LABELED).request.trigger is TriggerKind.LABEL


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
    assert (decision.mistake, decision.in_review, decision.review_id) == ("", False, 0)


def test_options_of_the_command_line_are_the_requests() -> None:
    asked = started(COMMENT, {"comment.body": "/backspace --base dev --budget 2 --draft fix it"}).request
    assert (asked.prompt, asked.options) == ("fix it", Options(base="dev", budget_usd=2, draft=True))
    assert started(COMMENT).request.options == Options()


@pytest.mark.parametrize(("name", "body"), [(COMMENT, "comment"), (REMARK, "comment"), (REVIEW, "review")])
def test_a_command_line_that_cannot_be_read_is_answered(name: str, body: str) -> None:
    decision = decided(name.partition(".")[0], recorded(name, {f"{body}.body": "/backspace --speed 11 fix it"}))
    assert isinstance(decision, Command)
    assert decision.word is Word.HELP
    assert "`--speed` is not an option" in decision.mistake


@pytest.mark.parametrize(
    ("name", "body", "intent"),
    [
        (COMMENT, "comment", "1296269:comment:492700400"),
        (REMARK, "comment", "1296269:review-comment:284312630"),
        (REVIEW, "review", "1296269:review-body:237895671"),
    ],
)
def test_more_words_are_for_the_run_at_work(name: str, body: str, intent: str) -> None:
    decision = decided(name.partition(".")[0], recorded(name, {f"{body}.body": "/backspace --add Mind the tests."}))
    assert isinstance(decision, Further)
    assert (decision.request.prompt, decision.intent) == ("Mind the tests.", intent)
    assert decision.request.thread in {"1296269#7", "1296269#8"}


def test_a_review_comment_starts_a_run_on_its_pull_request() -> None:
    request = started(REMARK).request
    assert (request.trigger, request.prompt, request.actor) == (TriggerKind.COMMENT, "Correct the spelling.", HUBOT)
    assert request.issue is not None
    assert (request.issue.number, request.issue.is_pull_request, request.issue.author.login) == (8, True, "octocat")
    assert (request.comment_id, request.head_seen) == (None, HEAD)
    assert request.review == ReviewPlace(
        284312630, "README.md", 1, "@@ -1 +1 @@\n-# Hello-World\n+# Hello-Wrold", thread_id=284312630
    )
    assert request.triggered_at == datetime(2026, 5, 15, 15, 20, 37, tzinfo=UTC)


def test_an_answer_in_a_review_thread_belongs_to_the_thread() -> None:
    review = started(REMARK, {"comment.in_reply_to_id": 5}).request.review
    assert review is not None
    assert (review.comment_id, review.thread_id) == (284312630, 5)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({"comment.line": 4}, 4, id="where it is now"),
        pytest.param({"comment.line": None, "comment.original_line": 3}, 3, id="where it was"),
        pytest.param({"comment.line": None, "comment.original_line": None}, None, id="on the file as a whole"),
        pytest.param({"comment.line": 2**31}, None, id="beyond any file"),
    ],
)
def test_the_line_of_a_review_comment(changes: dict[str, object], line: int | None) -> None:
    review = started(REMARK, changes).request.review
    assert review is not None
    assert review.line == line


def test_the_text_of_a_review_asks_without_a_place() -> None:
    request = started(REVIEW).request
    assert (request.prompt, request.comment_id, request.head_seen) == ("Correct the spelling.", None, HEAD)
    assert request.review == ReviewPlace(0, "", None, "", 0)
    assert request.triggered_at == datetime(2026, 5, 15, 15, 20, 38, tzinfo=UTC)


def test_a_review_with_several_commands_is_one_wish_of_several_messages() -> None:
    asked = [started(REMARK), started(REMARK, {"comment.id": 284312631}), started(REVIEW)]
    assert {one.intent for one in asked} == {"1296269:review:237895671"}
    assert [one.message_key for one in asked] == [
        "1296269:review-comment:284312630",
        "1296269:review-comment:284312631",
        "1296269:review-body:237895671",
    ]


def test_a_review_comment_without_a_review_is_a_wish_of_its_own() -> None:
    alone = started(REMARK, {"comment.pull_request_review_id": None})
    assert (alone.intent, alone.message_key) == ("1296269:review-comment:284312630", "")


@pytest.mark.parametrize("sha", [None, "", "main", "EC26C3E57CA3A959CA5AAD62DE7213C562F8C821", 5], ids=repr)
def test_a_head_that_is_no_commit_was_not_seen(sha: object) -> None:
    assert started(REMARK, {"pull_request.head.sha": sha}).request.head_seen is None


def test_a_word_in_a_review_is_a_command_of_its_pull_request() -> None:
    in_comment = decided("pull_request_review_comment", recorded(REMARK, {"comment.body": "/backspace stop"}))
    in_text = decided("pull_request_review", recorded(REVIEW, {"review.body": "/backspace stop"}))
    assert isinstance(in_comment, Command)
    assert isinstance(in_text, Command)
    assert in_comment.word is in_text.word is Word.STOP
    assert in_comment.thread == in_text.thread == "1296269#8"
    assert in_comment.issue.is_pull_request
    assert (in_comment.comment_id, in_comment.review_id, in_comment.in_review) == (284312630, 0, True)
    assert (in_text.comment_id, in_text.review_id, in_text.in_review) == (0, 237895671, True)


@pytest.mark.parametrize("name", ["bug", "backspaces", "Backspace please"])
def test_another_label_is_looked_up_in_the_repositorys_settings(name: str) -> None:
    decision = decided("issues", recorded(LABELED, {"label.name": name}))
    assert isinstance(decision, Labelled)
    assert decision.intent == started(LABELED).intent
    assert decision.request == replace(started(LABELED).request, label=name)


def test_a_pull_request_that_ends_is_told() -> None:
    assert decided("pull_request", recorded(CLOSED)) == PullEnded(1296269, 8, merged=True)
    unmerged = {"pull_request.merged": False}
    assert decided("pull_request", recorded(CLOSED, unmerged)) == PullEnded(1296269, 8, merged=False)
    again = recorded(CLOSED, {"action": "reopened"})
    assert decided("pull_request", again) == PullEnded(1296269, 8, merged=False, reopened=True)


def test_a_check_of_actions_that_fails_is_told() -> None:
    report = "1 test failed\n\nSee the text.\n\nFAILED test_spelling"
    failed = CheckFailed(REPO, INSTALLATION, HEAD, 128620228, "test", report)
    assert decided("check_run", recorded(CHECK)) == failed
    timed_out = {"check_run.conclusion": "timed_out", "check_run.output": {"title": None, "summary": ""}}
    assert decided("check_run", recorded(CHECK, timed_out)) == replace(failed, summary="")


def test_a_workflow_that_fails_without_a_check_is_told() -> None:
    check = recorded(CHECK)["check_run"]
    suite = {key: check[key] for key in ("id", "head_sha", "conclusion", "app")}
    payload = recorded(CHECK, {"check_run": ..., "check_suite": suite})
    assert decided("check_suite", payload) == CheckFailed(REPO, INSTALLATION, HEAD, 128620228, "workflow", "")


def test_of_a_long_report_the_end_is_kept() -> None:
    decision = decided("check_run", recorded(CHECK, {"check_run.output.text": "x" * 50_000 + "the cause"}))
    assert isinstance(decision, CheckFailed)
    assert len(decision.summary) == 8_000
    assert decision.summary.startswith("…")
    assert decision.summary.endswith("the cause")


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
        pytest.param(REMARK, {"comment.body": "Nice."}, "no command", id="no command in a review comment"),
        pytest.param(REMARK, {"action": "edited"}, "edited", id="edited review comment"),
        pytest.param(REMARK, {"action": "deleted"}, "comment.deleted", id="deleted review comment"),
        pytest.param(REMARK, {"sender.type": "Bot"}, "not a person", id="review comment sent by a bot"),
        pytest.param(REMARK, {"comment.user.type": "Bot"}, "not a person", id="review comment of a bot"),
        pytest.param(
            REMARK, {"comment.performed_via_github_app": {"id": APP_ID}}, "our own", id="review comment by ourselves"
        ),
        pytest.param(REMARK, {"comment.user.id": 3}, "not the sender's own", id="somebody else's review comment"),
        pytest.param(REMARK, {"comment": None}, "without comment", id="no review comment"),
        pytest.param(REMARK, {"pull_request": None}, "without issue", id="review comment, no pull request"),
        pytest.param(REMARK, {"installation": ...}, "without installation", id="review comment, no installation"),
        pytest.param(REVIEW, {"review.body": None}, "no command", id="review without text"),
        pytest.param(REVIEW, {"action": "edited"}, "edited", id="edited review"),
        pytest.param(REVIEW, {"action": "dismissed"}, "review.dismissed", id="dismissed review"),
        pytest.param(REVIEW, {"review.user.type": "Bot"}, "not a person", id="review of a bot"),
        pytest.param(REVIEW, {"sender.type": "Bot"}, "not a person", id="review sent by a bot"),
        pytest.param(REVIEW, {"review.user": None}, "not a person", id="review of nobody"),
        pytest.param(REVIEW, {"review.user.id": 3}, "not the sender's own", id="somebody else's review"),
        pytest.param(REVIEW, {"review": []}, "without review", id="no review"),
        pytest.param(REVIEW, {"pull_request": {}}, "without issue", id="review, no pull request"),
        pytest.param(CLOSED, {"action": "labeled"}, "asks on issues only", id="label on a pull request"),
        pytest.param(CLOSED, {"action": "synchronize"}, "pull_request.synchronize", id="new commits"),
        pytest.param(CLOSED, {"pull_request": ...}, "without pull_request", id="which pull request?"),
        pytest.param(CLOSED, {"repository": ...}, "without repository", id="closed, no repository"),
        pytest.param(CLOSED, {"installation": ...}, "without installation", id="closed, no installation"),
        pytest.param(CHECK, {"check_run.app.slug": "codecov"}, "another app", id="check of another app"),
        pytest.param(CHECK, {"check_run.app": None}, "another app", id="check of no app"),
        pytest.param(CHECK, {"check_run.conclusion": "success"}, "did not fail", id="check that passed"),
        pytest.param(CHECK, {"check_run.conclusion": "action_required"}, "did not fail", id="check that waits"),
        pytest.param(CHECK, {"check_run.conclusion": "cancelled"}, "did not fail", id="check that was cancelled"),
        pytest.param(CHECK, {"check_run.conclusion": None}, "did not fail", id="check that runs"),
        pytest.param(CHECK, {"check_run.head_sha": "x"}, "without head_sha", id="check of no commit"),
        pytest.param(CHECK, {"check_run": ...}, "without check", id="no check"),
        pytest.param(CHECK, {"installation": ...}, "without installation", id="check, no installation"),
        pytest.param(CHECK, {"action": "created"}, "check_run.created", id="check that begins"),
        pytest.param(LABELED, {"label": ...}, "without label", id="no label"),
        pytest.param(LABELED, {"action": "opened"}, "an issue alone", id="opened with the label"),
        pytest.param(LABELED, {"action": "unlabeled"}, "issues.unlabeled", id="label taken off"),
        pytest.param(LABELED, {"sender.type": "Bot"}, "not labelled by a person", id="labelled by a bot"),
        pytest.param(LABELED, {"sender": None}, "not labelled by a person", id="labelled by nobody"),
        pytest.param(LABELED, {"sender.id": None}, "without sender", id="labelled by somebody unknown"),
        pytest.param(LABELED, {"issue.title": "", "issue.body": None}, "neither title nor body", id="empty issue"),
        pytest.param(LABELED, {"installation": None}, "without installation", id="label, no installation"),
        pytest.param("installation.created", {"action": "unsuspend"}, "works again", id="unsuspended"),
        pytest.param("installation.created", {"installation": ...}, "without installation", id="which one?"),
    ],
)
def test_ignored(name: str, changes: dict[str, object], reason: str) -> None:
    decision = decided(name.partition(".")[0], recorded(name, changes))
    assert isinstance(decision, Ignored), decision
    assert reason in decision.reason


@pytest.mark.parametrize("event", ["ping", "push", "pull_request", "check_run", "sub_issues", "meteor_shower"])
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


@pytest.mark.parametrize("action", ["added", "removed"])
@pytest.mark.parametrize("repos", [[], None, {}, [5, {"id": "9"}]], ids=repr)
def test_no_repository_is_not_every_repository(action: str, repos: object) -> None:
    changes = {"action": action, "repositories_added": repos, "repositories_removed": repos}
    decision = decided("installation_repositories", recorded("installation_repositories.removed", changes))
    assert decision == Ignored(f"not for us: installation_repositories.{action} without repositories")


@pytest.mark.parametrize(("action", "suspended"), [("deleted", False), ("suspend", True)])
def test_an_installation_goes_whole(action: str, suspended: bool) -> None:  # noqa: FBT001 -- a column of the table
    payload = recorded("installation.deleted", {"action": action})
    assert decided("installation", payload) == InstallationGone(INSTALLATION, repo_ids=None, suspended=suspended)


def test_an_installation_loses_repositories() -> None:
    payload = recorded("installation_repositories.removed")
    assert decided("installation_repositories", payload) == InstallationGone(INSTALLATION, repo_ids=(1300192,))
