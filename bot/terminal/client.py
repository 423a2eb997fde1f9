"""The HTTP side: calls of the API, and a run's events over connections that may break."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TypeVar

import httpx
from httpx_sse import EventSource, SSEError
from pydantic import BaseModel, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from bot import certificates
from bot.errors import BackspaceError
from bot.model import RunId
from bot.terminal.answers import Answer, Listing, NotUnderstood, Problem, Run, Started

_TIMEOUT_SECONDS = 15.0
_SILENCE_SECONDS = 50.0
"""The server says every 15 s that it is there; after this long without, the connection is dead."""
_WAITS_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0, 15.0, 15.0)
"""Before each new connection, as long as none of them brings anything: a minute and three quarters."""
_START_TRIES = 4
_MOST_ON_A_PAGE = 100
_PASSING = frozenset({429, 502, 503, 504})

T = TypeVar("T", bound=BaseModel)


class Unreachable(BackspaceError):
    """No Backspace answers at that address."""

    retry_helps = True

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"No answer from {url} ({reason}). Is Backspace running there, and is the address right?")
        self.url = url
        self.reason = reason


class Refused(BackspaceError):
    """The server said no."""

    def __init__(self, status: int, code: str, detail: str, retry_after: str = "") -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after
        """Seconds, as the server put it."""


class Passing(Refused):
    """The server said not now."""

    retry_helps = True


class Cut(BackspaceError):
    """The connection broke again and again; the run goes on without it."""

    retry_helps = True


@dataclass(frozen=True)
class Message:
    """One event of a run, as it was sent."""

    seq: int
    data: str


@dataclass(frozen=True)
class Lost:
    """The connection broke; there is a new one in `wait_seconds`."""

    reason: str
    wait_seconds: float


@dataclass
class Server:
    """One Backspace, as somebody with this key sees it."""

    url: str
    key: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        headers = {"user-agent": f"backspace/{version('backspace')}"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        timeout = httpx.Timeout(_TIMEOUT_SECONDS, read=_SILENCE_SECONDS)
        self._http = httpx.Client(verify=certificates.trusted(), base_url=self.url, headers=headers, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def start(self, request: Mapping[str, object], *, idempotency_key: str) -> Started:
        """Asks again when the answer got lost: with the same key it is the same run."""
        headers = {"accept": "application/json", "idempotency-key": idempotency_key}
        tries = Retrying(
            stop=stop_after_attempt(_START_TRIES),
            wait=wait_exponential(multiplier=_WAITS_SECONDS[0], max=_WAITS_SECONDS[3]),
            retry=retry_if_exception_type((_Broken, _Unavailable)),
            sleep=self.sleep,
            reraise=True,
        )
        for attempt in tries:
            with attempt:
                return self._call(Started, "POST", "/api/code", json=dict(request), headers=headers)
        raise AssertionError("the last try raises or returns")

    def run(self, run_id: RunId) -> Run:
        return self._call(Run, "GET", f"/api/runs/{run_id}")

    def runs(self, filters: Mapping[str, str], *, most: int) -> Iterator[Run]:
        """Newest first."""
        query = {**filters, "limit": str(min(most, _MOST_ON_A_PAGE))}
        while most > 0:
            page = self._call(Listing, "GET", "/api/runs", params=query)
            yield from page.runs[:most]
            most -= len(page.runs)
            if not page.next:
                return
            query["cursor"] = page.next

    def stop(self, run_id: RunId) -> None:
        self._call(Answer, "POST", f"/api/runs/{run_id}/stop")

    def retry(self, run_id: RunId, *, idempotency_key: str) -> Started:
        headers = {"idempotency-key": idempotency_key}
        return self._call(Started, "POST", f"/api/runs/{run_id}/retry", headers=headers)

    def follow(self, run_id: RunId, after: int = 0) -> Iterator[Message | Lost]:
        """Every event once and in order, up to the last one, over as many connections as it takes.

        The first connection has to come about: raises Unreachable or Refused. Raises Cut when later ones do not.
        """
        failures = 0
        known = False
        while True:
            try:
                with self._stream(run_id, after) as source:
                    known = True
                    for sent in source.iter_sse():
                        # A keep-alive comes as a message without data.
                        failures = 0
                        if sent.data and (seq := _number(sent.id)) > after:
                            after = seq
                            yield Message(seq, sent.data)
                            if _is_last(sent.data):
                                return
                reason = "the server ended the stream"
            except Passing as error:
                if not known:
                    raise
                reason = error.detail
            except httpx.TransportError as error:
                if not known:
                    raise Unreachable(self.url, _words(error)) from None
                reason = _words(error)
            if failures >= len(_WAITS_SECONDS):
                raise Cut(f"The connection to {self.url} broke again and again ({reason}); the run goes on without it.")
            yield Lost(reason, _WAITS_SECONDS[failures])
            self.sleep(_WAITS_SECONDS[failures])
            failures += 1

    @contextmanager
    def _stream(self, run_id: RunId, after: int) -> Iterator[EventSource]:
        headers = {"accept": "text/event-stream", "last-event-id": str(after)}
        with self._http.stream("GET", f"/api/runs/{run_id}/events", headers=headers) as response:
            if response.status_code != 200:
                response.read()
                raise self._refusal(response)
            try:
                yield EventSource(response)
            except SSEError:
                raise self._not_understood(response) from None

    def _call(
        self,
        form: type[T],
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        try:
            response = self._http.request(method, path, params=params, json=json, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Unreachable(self.url, _words(error)) from None
        except httpx.TransportError as error:
            raise _Broken(self.url, _words(error)) from None
        if not response.is_success:
            raise self._refusal(response)
        try:
            return form.model_validate_json(response.content)
        except ValidationError:
            raise self._not_understood(response) from None

    def _refusal(self, response: httpx.Response) -> BackspaceError:
        status = response.status_code
        if response.is_redirect:
            return NotUnderstood(f"{self.url} redirects to {response.headers.get('location', 'nowhere')}: use that.")
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            if status not in _PASSING:
                return self._not_understood(response)
            problem = Problem(detail=f"The server, or a proxy before it, answered with {status}.")
        kind = Refused if status not in _PASSING else Passing if status == 429 else _Unavailable
        return kind(status, problem.code, problem.detail, response.headers.get("retry-after", ""))

    def _not_understood(self, response: httpx.Response) -> NotUnderstood:
        return NotUnderstood(
            f"What answers at {self.url} is no Backspace that this client knows (status {response.status_code})."
        )


class _Broken(Unreachable):
    """The request may have arrived."""


class _Unavailable(Passing):
    """It may have been the server, or a proxy while the server starts."""


def _words(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


class _Kind(BaseModel):
    type: str


def _is_last(data: str) -> bool:
    try:
        return _Kind.model_validate_json(data).type == "complete"
    except ValidationError:
        return False
