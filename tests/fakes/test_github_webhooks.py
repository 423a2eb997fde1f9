"""Deliveries of the GitHub stand-in: signed, shaped like GitHub's, sent once, remembered."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
import yaml

from tests.fakes import github_scene
from tests.fakes.github import EVENTS, PERMISSIONS, NothingSent, Refusal, sign
from tests.fakes.github_scene import SECRET, Client, Receiver, Scene, eventually
from tests.shared_data import SHARED_DATA, needs_shared_data

pytestmark = pytest.mark.slow


def test_the_signature_is_githubs_known_answer() -> None:
    assert sign("It's a Secret to Everybody", b"Hello, World!") == (
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    )


def test_a_comment_is_delivered_signed_and_the_answer_comes_back(scene: Scene, receiver: Receiver) -> None:
    receiver.answers.append((202, "run accepted"))
    delivery = scene.fake.comment(scene.issue, "octo", "/backspace make it two — please")
    assert (delivery.status, delivery.body, delivery.status_text) == (202, "run accepted", "OK")
    (came,) = receiver.received
    assert came.headers["x-github-event"] == "issue_comment"
    assert came.headers["x-github-delivery"] == delivery.guid
    assert came.headers["user-agent"].startswith("GitHub-Hookshot/")
    digest = hmac.new(SECRET.encode(), came.raw, hashlib.sha256).hexdigest()
    assert came.headers["x-hub-signature-256"] == f"sha256={digest}"
    payload = came.payload
    assert payload["action"] == "created"
    assert payload["installation"]["id"] == scene.installation_id
    assert payload["sender"] == payload["comment"]["user"]
    assert (payload["sender"]["login"], payload["sender"]["type"]) == ("octo", "User")
    assert payload["repository"]["id"] == scene.repository.id
    assert (payload["issue"]["number"], "pull_request" in payload["issue"]) == (1, False)
    assert payload["comment"]["body"] == "/backspace make it two — please"


def test_what_people_do_is_told_in_githubs_words(scene: Scene, receiver: Receiver) -> None:
    fake = scene.fake
    issue = fake.open_issue("octo", "Labelled from the start", labels=["bug"])
    fake.label_issue(issue, "octo", "backspace")
    fake.unlabel_issue(issue, "octo", "bug")
    comment = fake.comment(issue, "octo", "one")
    fake.edit_comment(comment.comment_id, "octo", "two")
    fake.delete_comment(comment.comment_id, "octo")
    fake.edit_issue(issue, "octo", title="Another title")
    fake.edit_issue(issue, "octo", state="closed")
    assert [(one.headers["x-github-event"], one.payload["action"]) for one in receiver.received] == [
        ("issues", "opened"),
        ("issues", "labeled"),
        ("issues", "labeled"),
        ("issues", "unlabeled"),
        ("issue_comment", "created"),
        ("issue_comment", "edited"),
        ("issue_comment", "deleted"),
        ("issues", "edited"),
        ("issues", "closed"),
    ]
    assert receiver.received[2].payload["label"]["name"] == "backspace"
    assert receiver.received[5].payload["changes"] == {"body": {"from": "one"}}


def test_a_comment_on_a_pull_request_says_so(scene: Scene, receiver: Receiver) -> None:
    scene.fake.commit("acme/widgets", "topic", {"a": "b"})
    pull = scene.fake.open_pull("octo", "A pull", head="topic")
    scene.fake.comment(pull, "octo", "/backspace go on")
    scene.fake.review_comment(pull, "octo", "/backspace here", path="a", line=1)
    _, on_thread, on_line, _ = receiver.received
    assert on_thread.payload["issue"]["pull_request"]["url"].endswith(f"/pulls/{pull.number}")
    assert on_line.headers["x-github-event"] == "pull_request_review_comment"
    assert on_line.payload["pull_request"]["head"]["ref"] == "topic"
    assert on_line.payload["comment"]["path"] == "a"
    assert on_line.payload["comment"]["diff_hunk"] == "@@ -0,0 +1 @@\n+b"


def test_a_review_is_told_comment_by_comment_and_then_whole(scene: Scene, receiver: Receiver) -> None:
    scene.fake.commit("acme/widgets", "topic", {"src/a.py": "print(1)\nprint(2)\nprint(3)\n"})
    pull = scene.fake.open_pull("octo", "A pull", head="topic")
    said = [("src/a.py", 2, "one"), ("src/a.py", 3, "two")]
    told = scene.fake.submit_review(pull, "octo", said, body="Two things", event="REQUEST_CHANGES")
    scene.fake.review_comment(pull, "octo", "alone", path="src/a.py", line=3)
    assert [(one.outgoing.event, one.outgoing.action) for one in told] == [
        ("pull_request_review_comment", "created"),
        ("pull_request_review_comment", "created"),
        ("pull_request_review", "submitted"),
    ]
    first, second, whole = (one.outgoing.payload for one in told)
    number = whole["review"]["id"]
    assert [one["comment"]["pull_request_review_id"] for one in (first, second)] == [number, number]
    assert (whole["review"]["state"], whole["review"]["body"]) == ("changes_requested", "Two things")
    assert second["comment"]["diff_hunk"] == "@@ -1 +1,3 @@\n print(1)\n+print(2)\n+print(3)"
    *_, alone, made_of_it = (one.payload for one in receiver.received)
    assert alone["comment"]["pull_request_review_id"] == made_of_it["review"]["id"] != number
    assert made_of_it["review"]["body"] is None


def test_a_pull_request_moves_and_ends_as_on_github(scene: Scene, receiver: Receiver) -> None:
    fake = scene.fake
    fake.commit("acme/widgets", "topic", {"a": "b"})
    pull = fake.open_pull("octo", "A pull", f"Closes #{scene.issue.number}", head="topic")
    sha = fake.push("topic", {"a": "c"}, "octo")
    assert pull.pull is not None
    assert pull.pull.head_sha == sha
    fake.close_pull(pull, "octo")
    fake.reopen_pull(pull, "octo")
    fake.close_pull(pull, "octo", merged=True)
    told = [(one.headers["x-github-event"], one.payload["action"]) for one in receiver.received]
    assert told == [
        ("pull_request", "opened"),
        ("pull_request", "synchronize"),
        ("pull_request", "closed"),
        ("pull_request", "reopened"),
        ("pull_request", "closed"),
        ("issues", "closed"),
    ]
    moved, closed, _, merged, _ = (one.payload for one in receiver.received[1:])
    assert (moved["after"], moved["pull_request"]["head"]["sha"]) == (sha, sha)
    assert [one["pull_request"]["merged"] for one in (closed, merged)] == [False, True]
    assert merged["pull_request"]["merged_by"]["login"] == "octo"
    assert fake.file("a", "main") == b"c"
    assert scene.issue.state == "closed"


def test_pull_requests_in_conflict_cannot_be_merged(scene: Scene) -> None:
    scene.fake.commit("acme/widgets", "topic", {"README.md": "# Ours\n"})
    pull = scene.fake.open_pull("octo", "A pull", head="topic")
    scene.fake.push("main", {"README.md": "# Theirs\n"}, "octo")
    with pytest.raises(Refusal):
        scene.fake.close_pull(pull, "octo", merged=True)
    assert pull.state == "open"


def test_what_the_app_does_to_a_pull_request_is_told_to_it(scene: Scene, client: Client, receiver: Receiver) -> None:
    fake = scene.fake
    first, second = (fake.commit("acme/widgets", name, {"a": name}) for name in ("topic", "next"))
    client("POST", "/pulls", json={"title": "Ours", "head": "topic", "base": "main", "body": ""})
    client("PATCH", "/git/refs/heads/topic", json={"sha": second, "force": True})
    fake.wait_until(lambda: len(receiver.received) == 2, "both deliveries")
    fake.settle()
    opened, moved = sorted((one.payload for one in receiver.received), key=lambda one: str(one["action"]))
    assert (opened["action"], opened["sender"]["type"]) == ("opened", "Bot")
    assert (moved["action"], moved["before"], moved["after"]) == ("synchronize", first, second)
    fake.assert_clean()


def test_a_check_of_github_actions_is_told(scene: Scene, receiver: Receiver) -> None:
    sha = scene.fake.commit("acme/widgets", "topic", {"a": "b"})
    pull = scene.fake.open_pull("octo", "A pull", head="topic")
    delivery = scene.fake.check_run(sha, "tests (3.12)", "failure", {"title": "2 failed", "summary": "test_a, test_b"})
    check = delivery.outgoing.payload["check_run"]
    assert (delivery.outgoing.event, delivery.outgoing.action) == ("check_run", "completed")
    assert (check["app"]["slug"], check["status"], check["conclusion"]) == ("github-actions", "completed", "failure")
    assert (check["head_sha"], check["name"], check["output"]["summary"]) == (sha, "tests (3.12)", "test_a, test_b")
    assert [one["number"] for one in check["pull_requests"]] == [pull.number]


def test_the_apps_own_comment_comes_back_to_it_as_a_bots(scene: Scene, client: Client, receiver: Receiver) -> None:
    client("POST", "/issues/1/comments", json={"body": "/backspace loop"})
    # It goes out after the answer to the call that caused it.
    scene.fake.wait_until(lambda: bool(receiver.received), "the delivery")
    (came,) = receiver.received
    assert came.payload["sender"]["type"] == "Bot"
    assert came.payload["comment"]["performed_via_github_app"]["id"] == scene.fake.identity.id


def test_the_installation_is_told_and_its_state_changes(scene: Scene, receiver: Receiver) -> None:
    gadgets = scene.fake.add_repo("acme/gadgets", {"a": "b"})
    number = scene.installation_id
    scene.fake.tell_installed(number, "octo")
    scene.fake.change_repositories(number, "octo", add=[gadgets])
    scene.fake.change_repositories(number, "octo", remove=[gadgets])
    scene.fake.suspend(number, "octo")
    with pytest.raises(NothingSent):
        scene.fake.comment(scene.issue, "octo", "nobody hears this")
    scene.fake.suspend(number, "octo", suspended=False)
    scene.fake.uninstall(number, "octo")
    told = [(one.headers["x-github-event"], one.payload["action"]) for one in receiver.received]
    assert told == [
        ("installation", "created"),
        ("installation_repositories", "added"),
        ("installation_repositories", "removed"),
        ("installation", "suspend"),
        ("installation", "unsuspend"),
        ("installation", "deleted"),
    ]
    assert [row["full_name"] for row in receiver.received[0].payload["repositories"]] == ["acme/widgets"]


# Redelivery


def test_a_failed_delivery_is_not_repeated_but_found_and_sent_again(scene: Scene, receiver: Receiver) -> None:
    receiver.answers.append((503, "store is down"))
    failed = scene.fake.comment(scene.issue, "octo", "/backspace x")
    assert (failed.status, failed.status_text) == (503, "Invalid HTTP Response: 503")
    (row,) = scene.as_app("GET", "/app/hook/deliveries", params={"status": "failure"}).json()
    assert (row["guid"], row["status_code"], row["redelivery"]) == (failed.guid, 503, False)
    full = scene.as_app("GET", f"/app/hook/deliveries/{row['id']}").json()
    assert full["request"]["payload"]["comment"]["body"] == "/backspace x"
    assert scene.as_app("POST", f"/app/hook/deliveries/{row['id']}/attempts").status_code == 202
    eventually(lambda: len(scene.fake.deliveries) == 2)
    first, second = receiver.received
    assert (first.raw, first.headers["x-github-delivery"]) == (second.raw, second.headers["x-github-delivery"])
    newest, oldest = scene.as_app("GET", "/app/hook/deliveries").json()
    assert (newest["guid"], newest["redelivery"], newest["status"]) == (failed.guid, True, "OK")
    assert newest["id"] != oldest["id"]
    scene.fake.assert_clean()


def test_deliveries_are_paged_by_cursor_newest_first(scene: Scene, receiver: Receiver) -> None:
    sent = [scene.fake.comment(scene.issue, "octo", str(number)).guid for number in range(5)]
    answer = scene.as_app("GET", "/app/hook/deliveries", params={"per_page": 2})
    found = [row["guid"] for row in answer.json()]
    while "next" in answer.links:
        headers = {"authorization": f"Bearer {scene.app_token()}"}
        answer = scene.http.get(answer.links["next"]["url"], headers=headers)
        found += [row["guid"] for row in answer.json()]
    assert found == list(reversed(sent))


def test_a_receiver_that_is_away_is_a_failed_delivery(scene: Scene, receiver: Receiver) -> None:
    scene.fake.webhook("http://127.0.0.1:9/webhook", SECRET)
    delivery = scene.fake.comment(scene.issue, "octo", "x")
    assert (delivery.status, delivery.status_text) == (502, "failed to connect to host")
    scene.fake.webhook(receiver.url, SECRET)
    assert scene.fake.redeliver(delivery.guid).status == 202


# Shapes


def test_the_stand_in_grants_and_tells_what_the_app_asks_for() -> None:
    manifest = yaml.safe_load((Path(__file__).resolve().parents[2] / "app.yml").read_text())
    assert (manifest["default_permissions"], manifest["default_events"]) == (dict(PERMISSIONS), list(EVENTS))


@needs_shared_data
@pytest.mark.parametrize(
    ("event", "action"),
    [
        pytest.param("issue_comment", "created", id="comment"),
        pytest.param("issue_comment", "edited", id="edit"),
        pytest.param("issues", "labeled", id="label"),
        pytest.param("pull_request_review_comment", "created", id="review comment"),
        pytest.param("installation", "created", id="installation"),
        pytest.param("pull_request_review", "submitted", id="review"),
        pytest.param("pull_request", "opened", id="opened pull request"),
        pytest.param("pull_request", "synchronize", id="moved pull request"),
        pytest.param("pull_request", "closed", id="closed pull request"),
        pytest.param("pull_request", "reopened", id="reopened pull request"),
        pytest.param("pull_request", "labeled", id="labelled pull request"),
        pytest.param("check_run", "completed", id="check"),
        pytest.param("check_suite", "completed", id="checks"),
    ],
)
def test_a_delivery_has_the_fields_of_a_recorded_one(tmp_path: Path, event: str, action: str) -> None:
    with (
        github_scene.scene(tmp_path, events=(*EVENTS, "check_suite")) as scene,
        github_scene.receiver() as receiver,
    ):
        scene.fake.webhook(receiver.url, SECRET)
        _act(scene)
        ours = next(
            one.payload
            for one in receiver.received
            if one.headers["x-github-event"] == event and one.payload["action"] == action
        )
    recorded = json.loads((SHARED_DATA / "github" / "webhook-payloads.json").read_text())
    theirs = next(
        example
        for group in recorded
        if group["name"] == event
        for example in group["examples"]
        if example["action"] == action
    )
    assert _missing(theirs, ours) == set()


def _act(scene: Scene) -> None:
    """Somebody does everything that is told."""
    fake = scene.fake
    fake.commit("acme/widgets", "topic", {"a": "b"})
    pull = fake.open_pull("octo", "A pull", head="topic")
    comment = fake.comment(scene.issue, "octo", "x")
    fake.edit_comment(comment.comment_id, "octo", "y")
    fake.label_issue(scene.issue, "octo", "backspace")
    fake.review_comment(pull, "octo", "z", path="a")
    fake.tell_installed(scene.installation_id, "octo")
    fake.label_issue(pull, "octo", "bug")
    sha = fake.push("topic", {"a": "c"}, "octo")
    fake.check_run(sha, "tests", "failure")
    fake.close_pull(pull, "octo")
    fake.reopen_pull(pull, "octo")


_FREE = {"permissions", "reactions"}
"""What is in these differs from app to app."""

_LEFT_OUT = {
    "assignee",  # gone from the API of 2026-03-10
    "has_downloads",
    "merge_commit_sha",
    "draft",  # of an issue that is none
    "use_squash_pr_title_as_default",
    "position",
    "original_position",
    "custom_properties",
}


def _missing(theirs: object, ours: object, path: str = "") -> set[str]:
    """Keys of a recorded payload that ours has not, below the same keys."""
    if not isinstance(theirs, dict) or not isinstance(ours, dict):
        return set()
    gone = {f"{path}{key}" for key in theirs if key not in ours and key not in _LEFT_OUT}
    for key in (theirs.keys() & ours.keys()) - _FREE:
        gone |= _missing(theirs[key], ours[key], f"{path}{key}.")
    return gone
