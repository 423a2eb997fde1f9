"""The client against a server that breaks off: every event once, in order, and an end to trying."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from bot.errors import BackspaceError
from bot.model import Outcome, RunId, Stage
from bot.terminal.answers import NotUnderstood, event_of
from bot.terminal.client import Cut, Lost, Message, Passing, Refused, Server, Unreachable
from bot.web.sse import KEEP_ALIVE, frame
from tests.deployment import free_port
from tests.run_events import BEGUN, complete, reached, stored

EVENTS = stored(BEGUN, reached(Stage.CODING), reached(Stage.VERIFYING), complete(Outcome.NO_CHANGES))
FRAMES = [frame(event) for event in EVENTS]
RUN = RunId("0f1e2d3c")
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNKED = STREAM.replace(b"Connection: close", b"Transfer-Encoding: chunked")
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\naway"


def problem(status: int, code: str, detail: str, *headers: str) -> bytes:
    body = json.dumps({"type": f"urn:{code}", "title": "No", "status": status, "detail": detail, "code": code}).encode()
    head = [f"HTTP/1.1 {status} No", "Content-Type: application/problem+json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "Connection: close", "", ""]).encode() + body


class Breaking:
    """Gives one of the answers to each connection, as it stands, and closes; the last one again and again."""

    def __init__(self, answers: Sequence[bytes]) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._answers = list(answers)
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536).decode()
                if not request:
                    continue
                self.requests.append(request)
                connection.sendall(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
                connection.shutdown(socket.SHUT_WR)

    def cursors(self) -> list[str]:
        return [
            line.partition(": ")[2]
            for request in self.requests
            for line in request.lower().splitlines()
            if line.startswith("last-event-id")
        ]

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@contextmanager
def breaking(*answers: bytes) -> Iterator[tuple[Breaking, Server, list[float]]]:
    """The server, the client, and how long the client waited each time."""
    waits: list[float] = []
    server = Breaking(answers)
    client = Server(server.url, "dummy-key", sleep=waits.append)
    try:
        yield server, client, waits
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize(
    ("answers", "cursors"),
    [
        pytest.param([STREAM + b"".join(FRAMES)], ["0"], id="in one go"),
        pytest.param([STREAM + b"".join(FRAMES[:2]), STREAM + b"".join(FRAMES[2:])], ["0", "2"], id="broken once"),
        pytest.param([STREAM + FRAMES[0] + FRAMES[1][:20], STREAM + b"".join(FRAMES[1:])], ["0", "1"], id="mid-event"),
        pytest.param([STREAM + b"".join(FRAMES[:3]), STREAM + b"".join(FRAMES)], ["0", "3"], id="sent again"),
        pytest.param(
            [STREAM + FRAMES[0] + KEEP_ALIVE + FRAMES[1] + KEEP_ALIVE, AWAY, b"", STREAM + b"".join(FRAMES[2:])],
            ["0", "2", "2", "2"],
            id="away for a while",
        ),
        pytest.param(
            [CHUNKED + b"%x\r\n%b\r\n" % (len(FRAMES[0]), FRAMES[0]), STREAM + b"".join(FRAMES[1:])],
            ["0", "1"],
            id="cut between chunks",
        ),
    ],
)
def test_every_event_comes_once(answers: list[bytes], cursors: list[str]) -> None:
    with breaking(*answers) as (server, client, waits):
        items = list(client.follow(RUN))
        messages = [item for item in items if isinstance(item, Message)]
        assert [event_of(m.seq, m.data) for m in messages] == EVENTS
        assert server.cursors() == cursors
        assert [item.wait_seconds for item in items if isinstance(item, Lost)] == waits
        assert len(waits) == len(cursors) - 1


def test_it_stops_trying_when_nothing_comes_any_more() -> None:
    with breaking(STREAM + FRAMES[0], AWAY) as (server, client, waits):
        with pytest.raises(Cut) as cut:
            list(client.follow(RUN))
        assert cut.value.retry_helps
        assert sum(waits) < 120
        assert sorted(waits) == waits
        assert len(server.requests) == len(waits) + 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(problem(401, "not-known", "No such key."), Refused, id="wrong key"),
        pytest.param(problem(404, "no-such-run", "No such run."), Refused, id="no such run"),
        pytest.param(problem(429, "too-often", "Too often.", "Retry-After: 3"), Passing, id="too often"),
        pytest.param(AWAY, Passing, id="away"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", NotUnderstood, id="something else"),
        pytest.param(
            b"HTTP/1.1 308 Moved\r\nLocation: https://b.example\r\nContent-Length: 0\r\n\r\n", NotUnderstood, id="moved"
        ),
    ],
)
def test_a_first_answer_that_is_no_stream_ends_it(answer: bytes, error: type[BackspaceError]) -> None:
    with breaking(answer) as (server, client, waits):
        with pytest.raises(error):
            list(client.follow(RUN))
        assert len(server.requests) == 1
        assert waits == []


def test_where_nobody_listens() -> None:
    waits: list[float] = []
    client = Server(f"http://127.0.0.1:{free_port()}", "", sleep=waits.append)
    with pytest.raises(Unreachable, match="Is Backspace running there"):
        list(client.follow(RUN))
    with pytest.raises(Unreachable):
        client.start({}, idempotency_key="once")
    client.close()
    assert waits == []


STARTED = b'{"request_id": "0f1e2d3c", "run_url": "http://b/runs/0f1e2d3c", "events_url": "http://b/x"}'
ACCEPTED = b"HTTP/1.1 202 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(STARTED) + STARTED


@pytest.mark.parametrize("lost", [b"", AWAY], ids=["no answer", "away"])
def test_a_start_whose_answer_is_lost_is_asked_for_again_with_the_same_key(lost: bytes) -> None:
    with breaking(lost, ACCEPTED) as (server, client, _):
        assert client.start({"repo_url": "o/r"}, idempotency_key="once").request_id == RUN
        assert len(server.requests) == 2
        assert all("idempotency-key: once" in request.lower() for request in server.requests)


def test_a_start_that_is_refused_is_not_asked_for_again() -> None:
    with breaking(problem(422, "bad-repo", "No repository.")) as (server, client, _):
        with pytest.raises(Refused, match="No repository"):
            client.start({"repo_url": "o"}, idempotency_key="once")
        assert len(server.requests) == 1


def test_the_key_is_in_no_words_about_the_client() -> None:
    assert "dummy-key" not in repr(Server("http://127.0.0.1:9", "dummy-key"))


def listed(*runs: str, following: str | None) -> bytes:
    made = {
        "repo": "acme/calc",
        "issue": None,
        "prompt": "Fix it.",
        "trigger": "api",
        "actor": "octo",
        "state": "queued",
        "outcome": None,
        "pr_url": None,
        "pull_request": None,
        "branch": None,
        "model": None,
        "cost_usd": 0.0,
        "budget_usd": None,
        "created_at": "2026-11-20T12:00:00Z",
        "started_at": None,
        "finished_at": None,
        "last_event": 1,
    }
    body = json.dumps({"runs": [{**made, "request_id": run} for run in runs], "next": following}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body)


def test_an_empty_page_is_not_the_end_of_the_list() -> None:
    pages = listed("a", following="one"), listed(following="two"), listed("b", following=None)
    with breaking(*pages) as (server, client, _):
        assert [run.request_id for run in client.runs({}, most=10)] == ["a", "b"]
        assert ["cursor=two" in request for request in server.requests] == [False, False, True]
