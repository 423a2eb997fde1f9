"""A small scene at the GitHub stand-in for its own tests: a repository, an issue, the app, a receiver."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypedDict, Unpack

import httpx
import jwt

from tests.fakes.github import EVENTS, FakeGitHub, Issue, Repository, serve

FILES = {
    "README.md": "# Widgets\n",
    "src/a.py": "print(1)\n",
    "run.sh": "#!/bin/sh\necho run\n",
}
SECRET = "dummy webhook secret"


@dataclass(frozen=True)
class Received:
    """A delivery as the app's server saw it."""

    headers: dict[str, str]
    raw: bytes

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.raw)
        return payload


@dataclass
class Receiver:
    """An app's webhook that remembers what came and answers as told."""

    url: str
    received: list[Received] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Used up from the front; then 202."""


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.received.append(Received(headers, raw))
            status, body = found.answers.pop(0) if found.answers else (202, "accepted")
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name is the server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_address[1]}/webhook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Options(TypedDict, total=False):
    """What a call may have besides method and path."""

    json: object
    params: dict[str, str | int]
    headers: dict[str, str]
    follow_redirects: bool


@dataclass
class Scene:
    fake: FakeGitHub
    repository: Repository
    issue: Issue
    installation_id: int
    http: httpx.Client

    def app_token(self, **claims: object) -> str:
        now = int(self.fake.clock().timestamp())
        usual: dict[str, object] = {"iat": now - 60, "exp": now + 540, "iss": str(self.fake.identity.id)}
        kept = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(kept, self.fake.identity.private_key_pem, algorithm="RS256")

    def as_app(self, method: str, path: str, **request: Unpack[Options]) -> httpx.Response:
        return self.call(method, path, token=self.app_token(), **request)

    def mint(self, **wanted: object) -> httpx.Response:
        path = f"/app/installations/{self.installation_id}/access_tokens"
        return self.as_app("POST", path, json=wanted) if wanted else self.as_app("POST", path)

    def token(self, **wanted: object) -> str:
        answer = self.mint(**wanted)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def call(self, method: str, path: str, *, token: str | None, **request: Unpack[Options]) -> httpx.Response:
        headers = {"x-github-api-version": "2026-03-10", **request.get("headers", {})}
        if token:
            headers["authorization"] = f"Bearer {token}"
        request["headers"] = headers
        return self.http.request(method, f"{self.fake.api_url}{path}", **request)


REPO = "/repos/acme/widgets"


class Client:
    """Calls below the repository with one installation token."""

    def __init__(self, scene: Scene, token: str) -> None:
        self._scene = scene
        self.token = token

    def __call__(self, method: str, path: str, **request: Unpack[Options]) -> httpx.Response:
        return self._scene.call(method, f"{REPO}{path}", token=self.token, **request)


@contextmanager
def scene(tmp_path: Path, *, events: Iterable[str] = EVENTS) -> Iterator[Scene]:
    fake = FakeGitHub.create(tmp_path / "github", events=events)
    repository = fake.add_repo("acme/widgets", FILES)
    fake.add_user("octo", "write")
    fake.add_user("guest", "read")
    installation_id = fake.install("acme", [repository])
    issue = fake.open_issue("octo", "Widgets are too small", "Make them **two**.")
    with serve(fake), httpx.Client(trust_env=False) as http:
        yield Scene(fake, repository, issue, installation_id, http)


def eventually(fact: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a fact that nobody announces."""
    ends = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < ends, "not in time"
        threading.Event().wait(0.01)
