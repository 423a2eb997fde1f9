"""The GitHub stand-in refuses what GitHub refuses: tokens, scope, permissions, limits; and breaks on demand."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from githubkit import GitHub

from tests.fakes.github import FakeGitHub, Fault, serve
from tests.fakes.github_scene import REPO, Client, Scene
from tests.shared_data import needs_shared_data

pytestmark = pytest.mark.slow

# The app's own token


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        pytest.param({}, 200, "", id="as documented"),
        pytest.param({"iss": "Iv23li710001"}, 200, "", id="client id as issuer"),
        pytest.param({"iss": "999"}, 404, "Integration not found", id="another app"),
        pytest.param({"iss": None}, 401, "'iss'", id="no issuer"),
        pytest.param({"exp": 1_000_000_000}, 401, "'exp'", id="expired"),
        pytest.param({"exp": 4_000_000_000}, 401, "too far in the future", id="lives too long"),
        pytest.param({"iat": 3_999_999_999}, 401, "'iat'", id="issued in the future"),
    ],
)
def test_the_apps_token_is_read_as_github_reads_it(
    scene: Scene, claims: dict[str, object], status: int, words: str
) -> None:
    answer = scene.call("GET", "/app", token=scene.app_token(**claims))
    assert answer.status_code == status
    assert words in answer.text


def test_a_token_signed_by_another_key_is_refused(scene: Scene) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(scene.fake.clock().timestamp())
    forged = jwt.encode({"iat": now - 60, "exp": now + 60, "iss": "710001"}, key, algorithm="RS256")
    assert scene.call("GET", "/app", token=forged).status_code == 401


# Installation tokens


def test_an_installation_token_has_the_long_form(scene: Scene) -> None:
    token = scene.token()
    assert token.startswith("ghs_710001_ey")
    assert token.count(".") == 2
    assert 500 < len(token) < 540


def test_a_token_is_narrowed_to_the_repository_and_permissions_asked_for(scene: Scene) -> None:
    other = scene.fake.add_repo("acme/gadgets", {"a": "b"})
    scene.fake.installation(scene.installation_id).repositories.append(other)
    body = scene.mint(repository_ids=[scene.repository.id], permissions={"issues": "write"}).json()
    assert body["permissions"] == {"issues": "write", "metadata": "read"}
    assert [row["full_name"] for row in body["repositories"]] == ["acme/widgets"]
    assert scene.call("GET", f"{REPO}/issues/1", token=body["token"]).status_code == 200
    assert scene.call("GET", "/repos/acme/gadgets", token=body["token"]).status_code == 404
    scene.fake.assert_clean()


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param({"permissions": {"workflows": "write"}}, id="permission that the app lacks"),
        pytest.param({"permissions": {"metadata": "write"}}, id="level above the app's"),
        pytest.param({"repository_ids": [1]}, id="repository of nobody"),
        pytest.param({"repositories": ["gadgets"]}, id="name outside the installation"),
    ],
)
def test_a_token_with_more_than_the_installation_has_is_not_minted(scene: Scene, wanted: dict[str, object]) -> None:
    assert scene.mint(**wanted).status_code == 422


def test_a_call_above_the_tokens_permissions_names_what_would_have_sufficed(scene: Scene) -> None:
    reader = scene.token(permissions={"issues": "read"})
    answer = scene.call("POST", f"{REPO}/issues/1/comments", token=reader, json={"body": "hello"})
    assert answer.status_code == 403
    assert answer.headers["x-accepted-github-permissions"] == "issues=write; pull_requests=write"
    assert scene.issue.comments == []


def test_a_token_ends_after_an_hour(scene: Scene, client: Client) -> None:
    scene.fake.clock.advance(timedelta(minutes=59).total_seconds())
    assert client("GET", "").status_code == 200
    scene.fake.clock.advance(timedelta(minutes=1).total_seconds())
    assert client("GET", "").status_code == 401


def test_a_revoked_token_is_worth_nothing(scene: Scene, client: Client) -> None:
    assert scene.call("DELETE", "/installation/token", token=client.token).status_code == 204
    assert client("GET", "").status_code == 401


def test_a_suspended_installation_gets_no_token_and_its_old_one_stops(scene: Scene, client: Client) -> None:
    scene.fake.installation(scene.installation_id).suspended_at = scene.fake.clock()
    assert scene.mint().status_code == 403
    assert client("GET", "").status_code == 403


def test_strangers_see_public_repositories_only(scene: Scene) -> None:
    scene.fake.add_repo("acme/open", {"a": "b"}, private=False)
    assert scene.call("GET", "/repos/acme/open", token=None).status_code == 200
    assert scene.call("GET", REPO, token=None).status_code == 404
    assert scene.call("POST", "/repos/acme/open/issues", token=None, json={"title": "x"}).status_code == 401


def test_a_person_acts_with_their_own_role(scene: Scene) -> None:
    scene.fake.add_user("stranger")
    guest, stranger = scene.fake.personal_token("guest"), scene.fake.personal_token("stranger")
    assert scene.call("GET", f"{REPO}/git/ref/heads/main", token=guest).status_code == 200
    assert scene.call("POST", f"{REPO}/git/blobs", token=guest, json={"content": "x"}).status_code == 403
    assert scene.call("GET", REPO, token=stranger).status_code == 404


# Threads


def test_the_permission_of_a_person_is_githubs_word_for_their_role(scene: Scene, client: Client) -> None:
    scene.fake.add_user("boss", "maintain")
    scene.fake.add_user("sorter", "triage")
    scene.fake.add_user("stranger")
    found = {
        login: (answer["permission"], answer["role_name"], answer["user"]["id"])
        for login in ("octo", "boss", "sorter", "guest", "stranger")
        for answer in [client("GET", f"/collaborators/{login}/permission").json()]
    }
    ids = {login: scene.fake.user(login).id for login in found}
    assert found == {
        "octo": ("write", "write", ids["octo"]),
        "boss": ("write", "maintain", ids["boss"]),
        "sorter": ("read", "triage", ids["sorter"]),
        "guest": ("read", "read", ids["guest"]),
        "stranger": ("none", "none", ids["stranger"]),
    }
    assert client("GET", "/collaborators/nobody/permission").status_code == 404
    scene.fake.assert_clean()


def test_a_comment_is_made_changed_read_and_taken_away(scene: Scene, client: Client) -> None:
    made = client("POST", "/issues/1/comments", json={"body": "one"}).json()
    assert made["user"]["login"] == "backspace[bot]"
    assert made["performed_via_github_app"]["id"] == scene.fake.identity.id
    path = f"/issues/comments/{made['id']}"
    assert client("PATCH", path, json={"body": "two"}).json()["body"] == "two"
    assert client("GET", path).json()["body"] == "two"
    assert scene.fake.bot_comments(scene.issue)[0].history == ["one", "two"]
    assert client("DELETE", path).status_code == 204
    assert client("GET", path).status_code == 404
    scene.fake.assert_clean()


def test_comments_are_listed_by_page_and_since(scene: Scene, client: Client) -> None:
    for number in range(5):
        scene.fake.say(scene.issue, "octo", f"comment {number}")
        scene.fake.clock.advance(60)
    first = client("GET", "/issues/1/comments", params={"per_page": 2})
    bodies = [row["body"] for row in first.json()]
    while "next" in (answer := first).links:
        first = scene.http.get(answer.links["next"]["url"], headers=answer.request.headers)
        bodies += [row["body"] for row in first.json()]
    assert bodies == [f"comment {number}" for number in range(5)]
    since = scene.issue.comments[3].created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert len(client("GET", "/issues/1/comments", params={"since": since}).json()) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param("x" * 65_536, 201, id="the longest"),
        pytest.param("x" * 65_537, 422, id="one more"),
        pytest.param(" ", 422, id="blank"),
    ],
)
def test_a_comment_has_a_longest_body(client: Client, body: str, status: int) -> None:
    assert client("POST", "/issues/1/comments", json={"body": body}).status_code == status


def test_a_reaction_is_made_once(scene: Scene, client: Client) -> None:
    comment = scene.fake.say(scene.issue, "octo", "hello")
    for path in ("/issues/1/reactions", f"/issues/comments/{comment.id}/reactions"):
        first = client("POST", path, json={"content": "eyes"})
        second = client("POST", path, json={"content": "eyes"})
        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json() == second.json()
        assert client("DELETE", f"{path}/{first.json()['id']}").status_code == 204
    assert scene.fake.reactions(comment) == scene.fake.reactions(scene.issue) == []
    scene.fake.assert_clean()


def test_a_label_is_made_once_and_put_on_an_issue(scene: Scene, client: Client) -> None:
    label = {"name": "backspace", "color": "5319e7", "description": "Ask the bot"}
    assert client("POST", "/labels", json=label).status_code == 201
    again = client("POST", "/labels", json=label)
    assert again.status_code == 422
    assert again.json()["errors"][0]["code"] == "already_exists"
    assert [row["name"] for row in client("POST", "/issues/1/labels", json={"labels": ["backspace"]}).json()] == [
        "backspace"
    ]
    assert [row["label"]["name"] for row in client("GET", "/issues/1/events").json()] == ["backspace"]
    scene.fake.assert_clean()


def test_odd_states_have_githubs_answers(scene: Scene, client: Client) -> None:
    scene.issue.locked = True
    assert client("POST", "/issues/1/comments", json={"body": "x"}).status_code == 403
    scene.issue.deleted = True
    assert client("GET", "/issues/1").status_code == 410
    scene.repository.archived = True
    assert client("POST", "/issues", json={"title": "x"}).status_code == 403
    scene.repository.issues_enabled = False
    assert client("GET", "/issues/1").status_code == 410
    empty = scene.fake.add_repo("acme/empty")
    scene.fake.installation(scene.installation_id).repositories.append(empty)
    answer = scene.call("GET", "/repos/acme/empty/git/ref/heads/main", token=client.token)
    assert (answer.status_code, answer.json()["message"]) == (409, "Git Repository is empty.")


def test_a_renamed_repository_answers_from_its_number(scene: Scene, client: Client) -> None:
    scene.fake.rename_repo(scene.repository, "gizmos")
    moved = client("GET", "/issues/1")
    assert moved.status_code == 301
    assert moved.headers["location"] == f"{scene.fake.api_url}/repositories/{scene.repository.id}/issues/1"
    assert client("PATCH", "/issues/1", json={"title": "x"}).status_code == 307
    followed = client("GET", "/issues/1", follow_redirects=True)
    assert followed.json()["repository_url"].endswith("/repos/acme/gizmos")


# Limits


def test_every_answer_tells_the_standing_and_a_spent_limit_refuses(scene: Scene, client: Client) -> None:
    before = int(client("GET", "").headers["x-ratelimit-remaining"])
    assert int(client("GET", "").headers["x-ratelimit-remaining"]) == before - 1
    scene.fake.limits.primary_per_hour = 5000 - before
    refused = client("GET", "")
    assert (refused.status_code, refused.headers["x-ratelimit-remaining"]) == (403, "0")
    core = scene.call("GET", "/rate_limit", token=client.token).json()["resources"]["core"]
    assert core["remaining"] == 0
    scene.fake.clock.advance(3600)
    assert scene.call("GET", REPO, token=scene.token()).status_code == 200


def test_content_is_limited_by_the_minute_when_asked_for(scene: Scene, client: Client) -> None:
    scene.fake.limits.secondary = True
    statuses = [client("POST", "/issues/1/comments", json={"body": "x"}).status_code for _ in range(81)]
    assert statuses == [201] * 80 + [403]
    refused = client("POST", "/issues/1/comments", json={"body": "x"})
    assert 0 < int(refused.headers["retry-after"]) <= 61
    scene.fake.clock.advance(int(refused.headers["retry-after"]))
    assert client("POST", "/issues/1/comments", json={"body": "x"}).status_code == 201


def test_an_unchanged_answer_costs_nothing(client: Client) -> None:
    first = client("GET", "")
    second = client("GET", "", headers={"if-none-match": first.headers["etag"]})
    assert second.status_code == 304
    assert second.headers["x-ratelimit-used"] == first.headers["x-ratelimit-used"]


# Faults


@pytest.mark.parametrize(
    ("fault", "status", "comments"),
    [
        pytest.param(Fault.SERVER_ERROR, 500, 0, id="500 before the work"),
        pytest.param(Fault.BAD_GATEWAY_AFTER, 502, 1, id="502 after the work"),
        pytest.param(Fault.TOO_MANY, 429, 0, id="429"),
        pytest.param(Fault.SECONDARY_LIMIT, 403, 0, id="secondary limit"),
        pytest.param(Fault.UNAUTHORIZED, 401, 0, id="401"),
        pytest.param(Fault.SLOW, 201, 1, id="slow"),
        pytest.param(Fault.DROP, None, 0, id="dropped before the work"),
        pytest.param(Fault.DROP_AFTER, None, 1, id="dropped after the work"),
    ],
)
def test_a_fault_hits_as_often_as_planned_and_then_never_again(
    scene: Scene, client: Client, fault: Fault, status: int | None, comments: int
) -> None:
    scene.fake.fail("POST", "*/issues/*/comments", fault, retry_after_seconds=7, seconds=0.01)
    if status is None:
        with pytest.raises(httpx.TransportError):
            client("POST", "/issues/1/comments", json={"body": "x"})
    else:
        answer = client("POST", "/issues/1/comments", json={"body": "x"})
        assert answer.status_code == status
        assert answer.headers.get("retry-after") == ("7" if status in (403, 429) else None)
    assert len(scene.issue.comments) == comments
    assert client("POST", "/issues/1/comments", json={"body": "x"}).status_code == 201
    assert scene.fake.faults.pending() == []


def test_a_fault_may_let_some_pass_and_be_planned_over_http(scene: Scene, client: Client) -> None:
    plan = {"method": "GET", "path": REPO, "fault": "500", "count": 2, "skip": 1}
    assert scene.http.post(f"{scene.fake.web_url}/_faults", json=plan).json()["remaining"] == 2
    assert [client("GET", "").status_code for _ in range(4)] == [200, 500, 500, 200]
    logged = scene.http.get(f"{scene.fake.web_url}/_requests").json()
    assert [row["fault"] for row in logged if row["path"] == REPO] == [None, "500", "500", None]


# What was asked


def test_calls_are_counted_by_operation(scene: Scene, client: Client) -> None:
    client("GET", "/issues/1")
    client("GET", "/issues/2")
    assert scene.fake.api_calls() == [
        "POST /app/installations/{installation_id}/access_tokens",
        *["GET /repos/{owner}/{repo}/issues/{issue_number}"] * 2,
    ]


def test_an_operation_that_github_does_not_have_is_a_problem(scene: Scene, client: Client) -> None:
    client("GET", "/isues/1")
    with pytest.raises(AssertionError, match="isues/1: the stand-in has no such operation"):
        scene.fake.assert_clean()


@needs_shared_data
@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        pytest.param("/issues/1/reactions", {"content": "rocketx"}, None, id="refused anyway"),
        pytest.param("/issues/1/comments", {"body": "x", "draft": "yes"}, None, id="unknown fields are let through"),
        pytest.param("/pulls", {"title": "t", "head": "topic", "base": "main", "draft": "yes"}, "'yes'", id="type"),
    ],
)
def test_a_request_against_githubs_description_is_a_problem(
    scene: Scene, client: Client, path: str, body: dict[str, object], words: str | None
) -> None:
    scene.fake.commit("acme/widgets", "topic", {"new": "file"})
    client("POST", path, json=body)
    problems = " ".join(scene.fake.problems)
    assert (words in problems) if words else problems == ""


def test_many_callers_at_once_get_numbers_of_their_own(scene: Scene, client: Client) -> None:
    def story(number: int) -> int:
        made = client("POST", "/issues", json={"title": str(number)}).json()["number"]
        assert client("POST", f"/issues/{made}/comments", json={"body": "x"}).status_code == 201
        assert client("GET", "").status_code == 200
        return int(made)

    with ThreadPoolExecutor(12) as pool:
        numbers = list(pool.map(story, range(48)))
    assert sorted(numbers) == list(range(2, 50))
    scene.fake.assert_clean()


def test_the_api_may_stand_at_the_root_of_its_host(tmp_path: Path) -> None:
    fake = FakeGitHub.create(tmp_path, api_prefix="")
    fake.add_repo("acme/open", {"a": "b"}, private=False)
    with serve(fake) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert http.get("/repos/acme/open").json()["full_name"] == "acme/open"
        assert "<h1>acme/open</h1>" in http.get("/acme/open").text
        fake.assert_clean()


def test_it_may_go_away_and_come_back_with_what_it_knew(tmp_path: Path) -> None:
    fake = FakeGitHub.create(tmp_path)
    fake.add_repo("acme/open", {"a": "b"}, private=False)
    with serve(fake, keep=True) as url:
        port = int(url.rpartition(":")[2])
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    with serve(fake, port=port) as again:
        assert httpx.get(again, trust_env=False).status_code == 200


async def test_githubkit_understands_the_stand_in(scene: Scene) -> None:
    github = GitHub(scene.token(), base_url=scene.fake.api_url, http_cache=False, auto_retry=False)
    async with github:
        answer = await github.rest.issues.async_create_comment("acme", "widgets", 1, body="from githubkit")
        user = await github.rest.users.async_get_by_username("backspace[bot]")
    assert answer.parsed_data.body == "from githubkit"
    assert user.json()["id"] == scene.fake.identity.bot.id
    scene.fake.assert_clean()
