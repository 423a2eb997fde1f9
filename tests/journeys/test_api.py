"""A program asks by `POST /api/code` and reads what happens; `curl` does, too."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.deployment import Deployment, deployed, until
from tests.fakes.model.state import Gate
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow


def url(running: Deployment, path: str = "/api/code") -> str:
    return f"{running.backspace.url}{path}"


def wish(running: Deployment, scenario: str = "fix-calc", **more: object) -> dict[str, object]:
    return {
        "repo_url": f"{running.github.web_url}/{running.repository.full_name}",
        "prompt": f"Make `add` add. scenario:{scenario}",
        **more,
    }


def asked(running: Deployment, body: object, **headers: str) -> httpx.Response:
    return LOOPBACK.post(url(running), json=body, headers={"Accept": "application/json", **headers}, timeout=20)


def keys_command(running: Deployment, *words: str) -> str:
    """`backspace keys …`, beside the running server."""
    command = [sys.executable, "-m", "bot", "keys", *words]
    here = running.backspace
    done = subprocess.run(
        command, cwd=here.home, env=here.environment(), capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def new_key(running: Deployment, *words: str) -> str:
    return keys_command(running, "add", "--name", "ci", *words)


def messages(text: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in lines:
            found.append((int(lines["id"]), json.loads(lines["data"])))
    return found


@pytest.mark.parametrize("path", ["/api/code", "/code"])
def test_curl_prints_the_events_up_to_the_pull_request(running: Deployment, path: str) -> None:
    curl = shutil.which("curl") or pytest.skip("there is no curl here")
    body = json.dumps({**wish(running), "prompt": f"By {path}: make `add` add. scenario:fix-calc"})
    command = [curl, "-sSN", "-X", "POST", url(running, path), "-H", "Content-Type: application/json", "-d", body]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True, env={})
    events = messages(done.stdout)
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    kinds = [event["type"] for _, event in events]
    assert kinds[0] == "start"
    assert kinds[-2:] == ["pr_created", "complete"]
    assert {"progress", "Tool: Read", "Tool: Edit", "Tool: Bash", "AI Message", "todo", "check", "usage"} <= set(kinds)
    complete = events[-1][1]
    assert complete["outcome"] == "pull_request"
    pull = running.github.pulls()[-1]
    assert complete["pr_url"].endswith(f"/pull/{pull.number}")
    assert pull.pull is not None
    assert pull.pull.head_ref.startswith("backspace/api-")
    assert "Closes" not in pull.body


def test_with_accept_json_the_answer_says_where_to_follow(running: Deployment) -> None:
    answer = asked(running, {"repoUrl": "acme/calc", "prompt": "Look. scenario:no-changes"})
    assert answer.status_code == 202
    started = answer.json()
    assert set(started) == {"request_id", "run_url", "events_url"}
    assert running.finished(started["request_id"])["outcome"] == "no_changes"
    events = messages(LOOPBACK.get(started["events_url"], timeout=20).text)
    assert events[-1][1]["type"] == "complete"


def test_the_same_key_gives_the_same_run(running: Deployment) -> None:
    body = wish(running, "no-changes")
    first = asked(running, body, **{"Idempotency-Key": "order-1"}).json()
    again = asked(running, body, **{"Idempotency-Key": "order-1"}).json()
    assert first["request_id"] == again["request_id"]
    running.finished(first["request_id"])
    late = asked(running, body, **{"Idempotency-Key": "order-1"}).json()
    assert late["request_id"] == first["request_id"]
    other = asked(running, wish(running, "slow"), **{"Idempotency-Key": "order-1"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


def test_a_client_that_goes_away_stops_nothing_and_another_reads_on(running: Deployment) -> None:
    with LOOPBACK.stream("POST", url(running), json=wish(running, "no-changes"), timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no"
        run_id = stream.headers["x-request-id"]
        next(stream.iter_lines())
    assert running.finished(run_id)["outcome"] == "no_changes"
    every = messages(LOOPBACK.get(url(running, f"/api/runs/{run_id}/events"), timeout=20).text)
    rest = LOOPBACK.get(url(running, f"/api/runs/{run_id}/events"), headers={"Last-Event-ID": "3"}, timeout=20)
    assert messages(rest.text) == every[3:]


def test_a_server_that_restarts_loses_no_event_and_repeats_none(running: Deployment) -> None:
    gate = Gate("fix-calc", 2)
    running.model.hold(gate)
    run_id = asked(running, wish(running)).json()["request_id"]
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    before = list(running.events_so_far(run_id, 0))
    running.backspace.kill()
    running.backspace.start()
    running.model.release(gate)
    assert running.finished(run_id)["outcome"] == "pull_request"
    rest = list(running.events_so_far(run_id, before[-1]["id"]))
    assert [event["id"] for event in before + rest] == list(range(1, len(before) + len(rest) + 1))
    assert rest[-1]["type"] == "complete"


def test_a_repository_without_the_app_says_how_to_install_it(running: Deployment) -> None:
    running.github.add_repo("other/place", {"README.md": "# Elsewhere\n"})
    started = asked(running, {"repo_url": "other/place", "prompt": "Look."}).json()
    until(lambda: running.run(started["request_id"])["outcome"] == "refused", what="it is refused")
    *_, error, complete = running.events(started["request_id"])
    assert (error["type"], error["error_type"]) == ("error", "app-not-installed")
    assert f"{running.github.web_url}/apps/backspace/installations/new" in complete["summary"]


@pytest.fixture
def with_token() -> Iterator[Deployment]:
    with deployed(start=False) as deployment:
        deployment.github.add_repo("other/place", {"calc.py": "def add(a, b):\n    return a - b\n"})
        deployment.github.add_user("helper", "write", repo="other/place")
        token = deployment.github.personal_token("helper")
        deployment.backspace.settings = {**deployment.backspace.settings, "GITHUB_TOKEN": token}
        deployment.backspace.start()
        yield deployment


def test_a_token_stands_in_where_the_app_is_not_installed(with_token: Deployment) -> None:
    started = asked(with_token, {**wish(with_token), "repo_url": "other/place"}).json()
    until(lambda: with_token.run(started["request_id"])["outcome"], seconds=90, what="the run ends")
    run = with_token.run(started["request_id"])
    assert run["outcome"] == "pull_request", with_token.backspace.log[-4000:]
    assert "github_pat_" not in with_token.backspace.log
    (pull,) = with_token.github.pulls("other/place")
    assert pull.author.login == "helper"


def test_where_nothing_can_be_pushed_no_work_is_begun(running: Deployment) -> None:
    deployment = running.elsewhere_installed()
    deployment.repository.archived = True
    archived = asked(deployment, wish(deployment)).json()["request_id"]
    until(lambda: deployment.run(archived)["outcome"] == "refused", what="it is refused")
    deployment.repository.archived = False
    deployment.github.suspend(deployment.installation, "boss")
    suspended = asked(deployment, wish(deployment)).json()["request_id"]
    until(lambda: deployment.run(suspended)["outcome"] == "refused", what="it is refused")
    codes = [deployment.events(run_id)[-2]["error_type"] for run_id in (archived, suspended)]
    assert codes == ["repository-archived", "installation-suspended"]


def test_a_key_that_is_revoked_while_its_run_works_publishes_nothing() -> None:
    with deployed(settings={"BACKSPACE_REQUIRE_AUTH": "true"}) as deployment:
        key, reader = new_key(deployment, "--repo", "acme/*"), new_key(deployment, "--repo", "*/*", "--read-only")
        gate = Gate("fix-calc", 2)
        deployment.model.hold(gate)
        run_id = asked(deployment, wish(deployment), **{"X-API-Key": key}).json()["request_id"]
        until(lambda: gate in deployment.model.waiting, what="the agent is at work")
        rows = keys_command(deployment, "list").splitlines()
        keys_command(deployment, "revoke", rows[1].split()[0])
        assert asked(deployment, wish(deployment), **{"X-API-Key": key}).status_code == 401
        deployment.model.release(gate)
        where, headers = url(deployment, f"/api/runs/{run_id}"), {"X-API-Key": reader}
        until(
            lambda: LOOPBACK.get(where, headers=headers).json()["outcome"] == "failed", seconds=90, what="it has ended"
        )
        events = [event for _, event in messages(LOOPBACK.get(f"{where}/events", headers=headers, timeout=20).text)]
        assert [event["error_type"] for event in events if event["type"] == "error"] == ["not-authorised"]
        assert "calc.py" in LOOPBACK.get(f"{where}/patch", headers=headers).text
        assert deployment.github.pulls() == []


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ([], 422, "invalid", "body"),
        ({"prompt": "x"}, 422, "invalid", "repo_url"),
        ({"repo_url": "https://elsewhere.example/acme/calc", "prompt": "x"}, 422, "invalid", "repo_url"),
        ({"repo_url": "acme/calc/more", "prompt": "x"}, 422, "invalid", "repo_url"),
        ({"repo_url": "acme/calc", "repoUrl": "acme/other", "prompt": "x"}, 422, "invalid", "repo_url"),
        ({"repo_url": "acme/calc"}, 422, "invalid", "prompt"),
        ({"repo_url": "acme/calc", "prompt": "  "}, 422, "invalid", "prompt"),
        ({"repo_url": "acme/calc", "prompt": "x" * 20_001}, 422, "invalid", "prompt"),
        ({"repo_url": "acme/calc", "prompt": "a\0b"}, 422, "invalid", "prompt"),
        ({"repo_url": "acme/calc", "prompt": "x", "base": "a..b"}, 422, "invalid", "base"),
        ({"repo_url": "acme/calc", "prompt": "x", "model": "nonsense"}, 422, "invalid", "model"),
        ({"repo_url": "acme/calc", "prompt": "x", "budget_usd": -1}, 422, "invalid", "budget_usd"),
        ({"repo_url": "acme/calc", "prompt": "x", "budget_usd": "3"}, 422, "invalid", "budget_usd"),
        ({"repo_url": "acme/calc", "prompt": "x", "colour": "red"}, 422, "invalid", "colour"),
        ({"repo_url": "acme/calc", "prompt": "x" * 10_000_000}, 413, "too-large", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_names_the_field(
    running: Deployment, body: object, status: int, code: str, field: str | None
) -> None:
    answer = asked(running, body)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["code"] == code
    assert [one["field"] for one in problem.get("errors", [])] == ([field] if field else [])
