"""Bad input at the door: the right status, one log line, nothing stored, never a traceback in the answer."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.deployment import WEBHOOK_SECRET, Backspace, Deployment, deployed
from tests.fakes.github import sign
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow
PING = json.dumps({"zen": "Keep it simple."}).encode()
HEADERS = {"X-GitHub-Event": "ping", "X-GitHub-Delivery": "2f1c5f2e-0000-4000-8000-000000000001"}


@pytest.fixture(scope="module")
def quiet() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


NOT_ASCII = "sha256=é"


def post(backspace: Backspace, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return LOOPBACK.post(f"{backspace.url}/webhook", content=content, headers=raw, timeout=20)


def lines(backspace: Backspace) -> list[dict[str, Any]]:
    return [json.loads(line) for line in backspace.log.splitlines() if line.startswith("{")]


def stored(backspace: Backspace) -> int:
    engine = sa.create_engine(f"sqlite:///{backspace.home}/data/backspace.db")
    with engine.connect() as connection:
        count = connection.execute(sa.text("select (select count(*) from deliveries) + (select count(*) from runs)"))
        found = int(count.scalar_one())
    engine.dispose()
    return found


def comment_without(*keys: str) -> bytes:
    body: dict[str, Any] = {
        "action": "created",
        "installation": {"id": 7},
        "repository": {"id": 1, "full_name": "acme/calc", "default_branch": "main", "private": True},
        "sender": {"id": 3, "login": "octo", "type": "User"},
        "issue": {"number": 1, "title": "t", "body": "b", "user": {"id": 3, "login": "octo", "type": "User"}},
        "comment": {"id": 9, "body": "/backspace go", "user": {"id": 3, "login": "octo", "type": "User"}},
    }
    return json.dumps({key: value for key, value in body.items() if key not in keys}).encode()


def signed(body: bytes, event: str = "issue_comment") -> dict[str, str]:
    return {**HEADERS, "X-GitHub-Event": event, "X-Hub-Signature-256": sign(WEBHOOK_SECRET, body)}


BAD: dict[str, tuple[bytes, dict[str, str], int]] = {
    "unsigned": (PING, {**HEADERS}, 401),
    "wrongly signed": (PING, {**HEADERS, "X-Hub-Signature-256": sign("another secret", PING)}, 401),
    "the old signature alone": (PING, {**HEADERS, "X-Hub-Signature": "sha1=0000"}, 401),
    "a signature that is not ASCII": (PING, {**HEADERS, "X-Hub-Signature-256": NOT_ASCII}, 401),
    "not JSON": (b"{", signed(b"{"), 400),
    "not an object": (b"[]", signed(b"[]"), 400),
    "no event": (PING, {k: v for k, v in signed(PING).items() if k != "X-GitHub-Event"}, 400),
    "no delivery id": (PING, {k: v for k, v in signed(PING).items() if k != "X-GitHub-Delivery"}, 400),
    "an unknown event": (PING, signed(PING, "quantum_leap"), 200),
    "no installation": (comment_without("installation"), signed(comment_without("installation")), 200),
    "no repository": (comment_without("repository"), signed(comment_without("repository")), 200),
    "deeply nested": (b"[" * 100_000, signed(b"[" * 100_000), 400),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(quiet: Deployment, name: str) -> None:
    content, headers, status = BAD[name]
    before, rows = len(lines(quiet.backspace)), stored(quiet.backspace)
    answer = post(quiet.backspace, content, headers)
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    body = answer.json()
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "detail", "code"} <= body.keys()
    else:
        assert body["result"] == "ignored"
        assert body["reason"]
    said = lines(quiet.backspace)[before:]
    assert [line["event"] for line in said] == ["delivery.answered"]
    assert stored(quiet.backspace) == rows


def test_a_delivery_larger_than_any_of_githubs_is_refused_while_it_is_read(quiet: Deployment) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 1024 * 1024

    announced = post(quiet.backspace, b"x" * 27 * 1024 * 1024, {**HEADERS})
    assert announced.status_code == 413
    try:
        streamed = LOOPBACK.post(f"{quiet.backspace.url}/webhook", content=endless(), headers=HEADERS, timeout=20)
        assert streamed.status_code == 413
    except httpx.WriteError:
        pass  # the server has answered and closed before we were done sending


def test_a_second_secret_holds_during_a_rotation() -> None:
    with deployed(settings={"GITHUB_WEBHOOK_SECRET": f"{WEBHOOK_SECRET},the new one"}) as deployment:
        for secret, status in ((WEBHOOK_SECRET, 200), ("the new one", 200), ("neither", 401)):
            headers = {**HEADERS, "X-Hub-Signature-256": sign(secret, PING)}
            assert post(deployment.backspace, PING, headers).status_code == status


def test_settings_that_are_wrong_are_all_named_at_once_with_what_to_do() -> None:
    with deployed(
        settings={
            "GITHUB_APP_ID": "",
            "GITHUB_WEBHOOK_SECRET": "",
            "BACKSPACE_RUN_BUDGET_USD": "-3",
            "BACKSPACE_MAXRUNS": "4",
        },
        start=False,
    ) as deployment:
        backspace = deployment.backspace
        backspace.start(wait=False)
        assert backspace.process is not None
        assert backspace.process.wait(30) == 2
        for name in ("GITHUB_APP_ID", "GITHUB_WEBHOOK_SECRET", "BACKSPACE_RUN_BUDGET_USD", "BACKSPACE_MAXRUNS"):
            assert name in backspace.log
        assert "Did you mean BACKSPACE_MAX_RUNS?" in backspace.log
        assert "Traceback" not in backspace.log


def test_a_second_process_on_the_same_database_is_turned_away(quiet: Deployment) -> None:
    second = Backspace(quiet.backspace.settings, quiet.backspace.home)
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(30) == 1
    assert "already in use by another Backspace process" in quiet.backspace.log


def test_editors_find_the_schema_of_the_repositorys_file_at_its_address(quiet: Deployment) -> None:
    answer = LOOPBACK.get(f"{quiet.backspace.url}/backspace.schema.json", timeout=10)
    assert answer.status_code == 200
    schema = answer.json()
    assert {"checks", "ci_fix", "network"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False
