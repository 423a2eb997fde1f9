"""Deliveries are known by their signature and read without trust in their shape."""

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.intake.webhook import Check, Delivery, DiffPlace, Unreadable, genuine, parse
from bot.model import Actor, Sha
from tests.intake.deliveries import GUID, changed, delivered, read, recorded
from tests.intake.unhurried import unhurried

HEAD = Sha("ec26c3e57ca3a959ca5aad62de7213c562f8c821")
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation
SIGNATURE = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def signed(body: bytes, secret: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param([SECRET], id="known answer of GitHub's documentation"),
        pytest.param([b"new", SECRET], id="old secret during a rotation"),
        pytest.param([SECRET, b"new"], id="new secret during a rotation"),
    ],
)
def test_genuine(secrets: list[bytes]) -> None:
    assert genuine(BODY, SIGNATURE, secrets)


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        pytest.param(SIGNATURE, [b"another"], id="another secret"),
        pytest.param(SIGNATURE, [], id="no secret"),
        pytest.param(signed(BODY, b""), [b""], id="an empty secret signs nothing"),
        pytest.param(None, [SECRET], id="no header"),
        pytest.param(b"", [SECRET], id="empty header"),
        pytest.param(SIGNATURE[:-1], [SECRET], id="cut"),
        pytest.param(SIGNATURE.upper(), [SECRET], id="upper case"),
        pytest.param(SIGNATURE.removeprefix(b"sha256="), [SECRET], id="no algorithm"),
        pytest.param(b"sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest().encode(), [SECRET], id="sha1"),
        pytest.param("sha256=é".encode(), [SECRET], id="not ASCII, utf-8"),
        pytest.param("sha256=é".encode("latin-1"), [SECRET], id="not ASCII, latin-1"),
    ],
)
def test_forged(header: bytes | None, secrets: list[bytes]) -> None:
    assert not genuine(BODY, header, secrets)


def test_a_changed_body_is_not_genuine() -> None:
    assert not genuine(BODY + b" ", SIGNATURE, [SECRET])


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        pytest.param({"X-GitHub-Event": ""}, b"{}", "X-GitHub-Event", id="no event"),
        pytest.param({"X-GitHub-Event": "a b"}, b"{}", "X-GitHub-Event", id="malformed event"),
        pytest.param({"X-GitHub-Event": "x" * 65}, b"{}", "X-GitHub-Event", id="endless event"),
        pytest.param({"X-GitHub-Delivery": ""}, b"{}", "X-GitHub-Delivery", id="no guid"),
        pytest.param({"X-GitHub-Delivery": "a/b"}, b"{}", "X-GitHub-Delivery", id="malformed guid"),
        pytest.param({}, b"", "not JSON", id="empty"),
        pytest.param({}, b"action=created", "not JSON", id="not JSON"),
        pytest.param({}, b'{"a": \xff}', "not JSON", id="not UTF-8"),
        pytest.param({}, b"[" * 100_000, "not JSON", id="nested without end"),
        pytest.param({}, b'{"a": ' + b"9" * 5000 + b"}", "not JSON", id="a number without end"),
        pytest.param({}, b"[]", "not a JSON object", id="list"),
        pytest.param({}, b"null", "not a JSON object", id="null"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, b"payload={}", "content type", id="form"),
    ],
)
def test_unreadable(headers: dict[str, str], body: bytes, reason: str) -> None:
    sent = {"X-GitHub-Event": "issues", "X-GitHub-Delivery": GUID, **headers}
    answer = parse(sent, body)
    assert isinstance(answer, Unreadable)
    assert reason in answer.reason


def test_header_names_are_read_without_case() -> None:
    answer = parse({"x-github-event": "ping", "X-GITHUB-DELIVERY": GUID}, b"{}")
    assert isinstance(answer, Delivery)
    assert (answer.event, answer.guid, answer.name) == ("ping", GUID, "ping")


def test_a_comment_is_read_whole() -> None:
    delivery = delivered("issue_comment", recorded("issue_comment.created"))
    assert delivery.name == "issue_comment.created"
    assert delivery.installation_id == 957387
    assert delivery.repo is not None
    assert (delivery.repo.id, delivery.repo.full_name) == (1296269, "octo-org/hello-world")
    assert delivery.issue is not None
    assert (delivery.issue.number, delivery.issue.is_pull_request) == (7, False)
    assert delivery.comment is not None
    assert (delivery.comment.id, delivery.comment.author) == (492700400, Actor(2, "hubot"))
    assert not delivery.comment.by_app


def test_a_review_comment_is_read_whole() -> None:
    delivery = delivered("pull_request_review_comment", recorded("pull_request_review_comment.created"))
    assert delivery.pull is not None
    assert (delivery.pull.thread.number, delivery.pull.head_sha) == (8, HEAD)
    assert delivery.pull.thread.is_pull_request
    assert delivery.diff_place == DiffPlace(
        237895671, "README.md", 1, "@@ -1 +1 @@\n-# Hello-World\n+# Hello-Wrold", None
    )


def test_a_review_is_read_as_a_comment_of_when_it_was_submitted() -> None:
    delivery = delivered("pull_request_review", recorded("pull_request_review.submitted"))
    assert delivery.review is not None
    assert (delivery.review.id, delivery.review.author) == (237895671, Actor(2, "hubot"))
    assert delivery.review.created_at == datetime(2026, 5, 15, 15, 20, 38, tzinfo=UTC)
    assert delivery.comment is None


def test_a_check_is_read_whole() -> None:
    report = "1 test failed\n\nSee the text.\n\nFAILED test_spelling"
    read_check = Check(128620228, "test", "github-actions", "failure", HEAD, report)
    assert delivered("check_run", recorded("check_run.completed")).check == read_check


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"comment.path": 5}, DiffPlace(9, "", 1, "@@", None), id="path is a number"),
        pytest.param({"comment.path": "a/" * 3_000}, DiffPlace(9, "", 1, "@@", None), id="path longer than any"),
        pytest.param({"comment.line": "1"}, DiffPlace(9, "a", None, "@@", None), id="line is text"),
        pytest.param({"comment.line": -1}, DiffPlace(9, "a", None, "@@", None), id="line before the first"),
        pytest.param({"comment.pull_request_review_id": {}}, DiffPlace(None, "a", 1, "@@", None), id="no review"),
        pytest.param({"comment.in_reply_to_id": True}, DiffPlace(9, "a", 1, "@@", None), id="answer to nothing"),
        pytest.param({"comment.diff_hunk": None}, DiffPlace(9, "a", 1, "", None), id="no hunk"),
        pytest.param(
            {"comment.diff_hunk": "@@" + "+" * 20_000 + "end"},
            DiffPlace(9, "a", 1, "…" + "+" * 7_996 + "end", None),
            id="of a long hunk the end",
        ),
    ],
)
def test_a_place_in_a_diff_is_what_can_be_read_of_it(changes: dict[str, object], expected: DiffPlace) -> None:
    comment = {"id": 7, "body": "", "pull_request_review_id": 9, "path": "a", "line": 1, "diff_hunk": "@@"}
    payload = changed({"action": "created", "comment": comment}, changes)
    assert delivered("pull_request_review_comment", payload).diff_place == expected


@pytest.mark.parametrize(
    ("event", "changes", "missing"),
    [
        pytest.param("pull_request.closed", {"pull_request": None}, "pull", id="no pull request"),
        pytest.param("pull_request.closed", {"pull_request.number": "8"}, "pull", id="number is text"),
        pytest.param("pull_request.closed", {"pull_request": [1]}, "pull", id="pull request is a list"),
        pytest.param("pull_request_review.submitted", {"review": "x"}, "review", id="review is text"),
        pytest.param("pull_request_review.submitted", {"review.id": None}, "review", id="review without id"),
        pytest.param("check_run.completed", {"check_run": 5}, "check", id="check is a number"),
        pytest.param("check_run.completed", {"check_run.id": 0}, "check", id="check of no id"),
    ],
)
def test_a_part_that_cannot_be_read_is_missing(event: str, changes: dict[str, object], missing: str) -> None:
    delivery = delivered(event.partition(".")[0], recorded(event, changes))
    assert getattr(delivery, missing) is None


def test_what_is_stored_has_an_end() -> None:
    huge = "x" * 200_000
    named = {"title": huge, "body": huge}
    issue = delivered("issues", recorded("issues.labeled", {"issue.title": huge, "issue.body": huge})).issue
    assert issue is not None
    assert (len(issue.title), len(issue.body)) == (1_000, 65_536)
    check_run = {"id": 1, "name": huge, "head_sha": huge, "output": {**named, "summary": huge, "text": huge}}
    check = delivered("check_run", {"check_run": check_run}).check
    assert check is not None
    assert (len(check.name), check.head_sha, len(check.report)) == (255, None, 8_000)
    label = delivered("issues", recorded("issues.labeled", {"label.name": huge})).label
    assert label is not None
    assert len(label.name) == 255


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        pytest.param({"installation": ...}, "installation_id", id="no installation"),
        pytest.param({"installation": 5}, "installation_id", id="installation is a number"),
        pytest.param({"installation.id": "957387"}, "installation_id", id="id is text"),
        pytest.param({"installation.id": True}, "installation_id", id="id is a truth value"),
        pytest.param({"installation.id": 2**63}, "installation_id", id="id that no database holds"),
        pytest.param({"installation.id": -1}, "installation_id", id="negative id"),
        pytest.param({"repository.id": 1.5}, "repo", id="id is a fraction"),
        pytest.param({"repository.full_name": "../../etc"}, "repo", id="name that climbs"),
        pytest.param({"repository.full_name": "octo-org/.."}, "repo", id="name that is a parent"),
        pytest.param({"repository.full_name": "octo-org/hello world"}, "repo", id="name with a blank"),
        pytest.param({"issue.number": 2**31}, "issue", id="issue number too large"),
        pytest.param({"issue": []}, "issue", id="issue is a list"),
        pytest.param({"comment": None}, "comment", id="comment is null"),
        pytest.param({"sender": None}, "sender", id="sender is null"),
        pytest.param({"sender.login": "a/b"}, "sender", id="login that is a path"),
    ],
)
def test_what_is_not_as_it_should_be_is_missing(changes: dict[str, object], missing: str) -> None:
    delivery = delivered("issue_comment", recorded("issue_comment.created", changes))
    assert getattr(delivery, missing) is None


@pytest.mark.parametrize("created_at", [1557933591, "2019-05-15T15:19:51.000Z", None, "", {}], ids=repr)
def test_an_installation_may_be_dated_anyhow(created_at: object) -> None:
    payload = recorded("installation.created", {"installation.created_at": created_at})
    assert delivered("installation", payload).installation_id == 957387


def test_an_issue_of_a_deleted_account_is_the_ghosts() -> None:
    delivery = delivered("issue_comment", recorded("issue_comment.created", {"issue.user": None}))
    assert delivery.issue is not None
    assert delivery.issue.author.login == "ghost"


def test_text_that_no_database_stores_is_replaced() -> None:
    delivery = delivered("issue_comment", recorded("issue_comment.created", {"comment.body": "a\x00b\ud800c"}))
    assert delivery.comment is not None
    assert delivery.comment.body == "a�b�c"


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00+23:59", "yesterday", 5, None, "9999-12-31T23:59:59-23:59"], ids=repr
)
def test_a_time_that_is_none_is_missing(stamp: object) -> None:
    delivery = delivered("issue_comment", recorded("issue_comment.created", {"comment.created_at": stamp}))
    assert delivery.comment is not None
    assert delivery.comment.created_at is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = ("issue_comment.created", "pull_request_review_comment.created", "pull_request_review.submitted")
EVENTS = (*(name.partition(".")[0] for name in NAMES), "issues", "installation", "pull_request", "check_run", "ping")
WHOLE = {
    key: value
    for name in (*NAMES, "installation.created", "check_run.completed")
    for key, value in recorded(name).items()
}


@unhurried
@given(event=st.sampled_from(EVENTS), key=st.sampled_from(sorted(WHOLE)), junk=JSON)
def test_any_json_in_any_place_is_read(event: str, key: str, junk: object) -> None:
    assert isinstance(read(event, changed(WHOLE, {key: junk})), Delivery)


@unhurried
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    answer = parse({"X-GitHub-Event": "issues", "X-GitHub-Delivery": GUID}, body)
    assert isinstance(answer, Delivery | Unreadable)
