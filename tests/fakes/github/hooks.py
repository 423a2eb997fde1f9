"""Webhook deliveries: signed, sent once, never retried, remembered for the deliveries API."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime

import httpx

from tests.fakes.github.shapes import Json
from tests.fakes.github.world import World

_ANSWER_SECONDS = 10.0
"""https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks"""

_ALWAYS_SENT = frozenset(
    {"installation", "installation_repositories", "installation_target", "github_app_authorization", "ping"}
)


@dataclass(frozen=True, eq=False)
class Outgoing:
    """A delivery ready to be sent: the very bytes that are signed."""

    guid: str
    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None
    headers: dict[str, str]
    body: bytes

    @property
    def payload(self) -> Json:
        payload: Json = json.loads(self.body)
        return payload


@dataclass(frozen=True, eq=False)
class Delivery:
    """One attempt to deliver, and what the receiver answered."""

    id: int
    outgoing: Outgoing
    delivered_at: datetime
    redelivery: bool
    duration_seconds: float
    status: int
    """The receiver's HTTP status; 502 when it could not be reached and 504 when it was too slow."""
    status_text: str
    """`OK` for a 2xx, else what GitHub's pages would say."""
    response_headers: dict[str, str]
    body: str

    @property
    def guid(self) -> str:
        return self.outgoing.guid

    @property
    def comment_id(self) -> int:
        found: int = self.outgoing.payload["comment"]["id"]
        return found

    @property
    def number(self) -> int:
        payload = self.outgoing.payload
        found: int = payload["issue" if "issue" in payload else "pull_request"]["number"]
        return found

    def item(self) -> Json:
        return {
            "id": self.id,
            "guid": self.guid,
            "delivered_at": self.delivered_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "redelivery": self.redelivery,
            "duration": round(self.duration_seconds, 3),
            "status": self.status_text,
            "status_code": self.status,
            "event": self.outgoing.event,
            "action": self.outgoing.action,
            "installation_id": self.outgoing.installation_id,
            "repository_id": self.outgoing.repository_id,
            "throttled_at": None,
        }

    def full(self, url: str) -> Json:
        return {
            **self.item(),
            "url": url,
            "request": {"headers": dict(self.outgoing.headers), "payload": self.outgoing.payload},
            "response": {"headers": dict(self.response_headers), "payload": self.body},
        }


class Hooks:
    """The app's one webhook. Without a URL nothing is sent and nothing is remembered, as with an inactive hook."""

    def __init__(self, world: World, *, app_id: int, events: tuple[str, ...], changed: Callable[[], None]) -> None:
        self._world = world
        self._app_id = app_id
        self._events = frozenset(events) | _ALWAYS_SENT
        self._changed = changed
        self._client = httpx.Client(verify=False, timeout=_ANSWER_SECONDS, trust_env=False)
        self._background = ThreadPoolExecutor(4, thread_name_prefix="github-hooks")
        self._pending: set[Future[Delivery | None]] = set()
        self._lock = threading.Lock()
        self.url: str | None = None
        self.secret = ""
        self.deliveries: list[Delivery] = []

    def compose(
        self, event: str, payload: Json, *, installation_id: int | None, repository_id: int | None
    ) -> Outgoing | None:
        """None when the app did not subscribe to this event."""
        if event not in self._events:
            return None
        guid = str(uuid.uuid4())
        body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": f"GitHub-Hookshot/{guid[:7]}",
            "X-GitHub-Delivery": guid,
            "X-GitHub-Event": event,
            "X-GitHub-Hook-ID": str(self._app_id + 1),
            "X-GitHub-Hook-Installation-Target-ID": str(self._app_id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
        }
        if self.secret:
            headers["X-Hub-Signature-256"] = sign(self.secret, body)
        action = payload.get("action")
        return Outgoing(guid, event, action, installation_id, repository_id, headers, body)

    def send(self, outgoing: Outgoing, *, redelivery: bool = False) -> Delivery | None:
        """Once, now; the caller waits for the answer. None when no URL is set."""
        if self.url is None:
            return None
        started = time.monotonic()
        headers: dict[str, str] = {}
        body = ""
        try:
            response = self._client.post(self.url, content=outgoing.body, headers=outgoing.headers)
        except httpx.TimeoutException:
            status, text = 504, "timed out"
        except httpx.TransportError:
            status, text = 502, "failed to connect to host"
        else:
            status, headers, body = response.status_code, dict(response.headers), response.text
            text = "OK" if response.is_success else f"Invalid HTTP Response: {status}"
        with self._world.lock:
            delivery = Delivery(
                id=self._world.next_id(),
                outgoing=outgoing,
                delivered_at=self._world.clock(),
                redelivery=redelivery,
                duration_seconds=time.monotonic() - started,
                status=status,
                status_text=text,
                response_headers=headers,
                body=body,
            )
            self.deliveries.append(delivery)
        self._changed()
        return delivery

    def send_later(self, outgoing: Outgoing, *, redelivery: bool = False) -> None:
        """In the background: what an API call causes is delivered after the call is answered."""
        with self._lock:
            future = self._background.submit(self.send, outgoing, redelivery=redelivery)
            self._pending.add(future)
        future.add_done_callback(self._forget)

    def _forget(self, future: Future[Delivery | None]) -> None:
        with self._lock:
            self._pending.discard(future)

    def settle(self, timeout_seconds: float) -> None:
        """Wait until nothing is under way in the background. Raises TimeoutError."""
        with self._lock:
            pending = set(self._pending)
        if wait(pending, timeout_seconds).not_done:
            raise TimeoutError("deliveries are still under way")

    def find(self, delivery_id: int) -> Delivery | None:
        return next((delivery for delivery in self.deliveries if delivery.id == delivery_id), None)

    def close(self) -> None:
        self.url = None
        self._background.shutdown(wait=True, cancel_futures=True)
        self._client.close()


def sign(secret: str, body: bytes) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
