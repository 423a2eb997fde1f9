"""The broker: knows a run by its token, refuses what it may not do, and sends the rest on with the real key."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import structlog
from starlette.types import Receive, Scope, Send

from bot import certificates
from bot.broker.exchange import Exchange, Outgoing, send_refusal
from bot.broker.prices import PriceTable, Tokens
from bot.broker.requests import (
    BODY_LIMIT_BYTES,
    NO_SUCH_PATH,
    NOT_YET,
    REVOKED,
    TOO_LARGE,
    UNKNOWN_TOKEN,
    ModelRequest,
    Refusal,
    budget_used_up,
    read_request,
)
from bot.broker.socket_server import SocketServer
from bot.model import RunId, Usage

OnUsage = Callable[[RunId, Usage], Awaitable[None]]
"""Gets what a run used since the last call. What it was given is stored when it returns."""

STALL_SECONDS = 120.0
_SERVED = frozenset({("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens"), ("GET", "/v1/models")})
_NOT_PASSED_ON = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    }
)

_log = structlog.get_logger()


@dataclass(eq=False)
class _Run:
    id: RunId
    token_digest: bytes
    budget_usd: float
    spent: Usage
    allowed_models: frozenset[str]
    on_usage: OnUsage
    server: SocketServer | None = None
    revoked: bool = False
    live: set[Exchange] = field(default_factory=set)

    async def account(self, usage: Usage) -> None:
        if usage != Usage():
            self.spent += usage
            await self.on_usage(self.id, usage)


class Broker:
    """One per process. `asgi` is the public route; `open` makes a Unix socket for one run."""

    def __init__(
        self,
        *,
        upstream: str,
        api_key: str,
        sockets: Path,
        prices: PriceTable | None = None,
        client: httpx.AsyncClient | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._upstream = httpx.URL(upstream.rstrip("/"))
        self._api_key = api_key
        self._sockets = sockets
        self._prices = prices or PriceTable()
        self._client = client or httpx.AsyncClient(
            verify=certificates.trusted(), limits=httpx.Limits(max_connections=None)
        )
        self._stall_seconds = stall_seconds
        self._runs: dict[RunId, _Run] = {}
        self._expected: dict[RunId, bytes] = {}
        self._storing: set[asyncio.Task[None]] = set()

    def expect(self, run_id: RunId, token: str) -> None:
        """A run of an earlier process will be opened soon; whoever asks in its name until then is told to wait."""
        self._expected[run_id] = _digest(token)

    async def open(
        self,
        run_id: RunId,
        *,
        token: str,
        budget_usd: float,
        spent: Usage,
        allowed_models: Collection[str],
        on_usage: OnUsage,
    ) -> Path:
        """Serve the run from now on; `spent` is what it used before. Returns the path of its socket."""
        await self.close(run_id)
        self.expect(run_id, token)
        run = _Run(run_id, _digest(token), budget_usd, spent, frozenset(allowed_models), on_usage)

        async def only_this_run(scope: Scope, receive: Receive, send: Send) -> None:
            await self._serve(scope, receive, send, run)

        self._sockets.mkdir(parents=True, exist_ok=True, mode=0o711)
        name = hashlib.sha256(run_id.encode()).hexdigest()[:16]
        run.server = SocketServer(self._sockets / f"{name}.sock", only_this_run)
        await run.server.start()
        self._runs[run_id] = run
        del self._expected[run_id]
        return run.server.path

    async def revoke(self, run_id: RunId) -> None:
        """End the run's answers now and refuse all it asks from here on."""
        run = self._runs.get(run_id)
        if run is None:
            return
        run.revoked = True
        for exchange in list(run.live):
            exchange.abort()

    async def close(self, run_id: RunId) -> None:
        """Forget the run; its socket is gone. No error when it is not known."""
        self._expected.pop(run_id, None)
        await self.revoke(run_id)
        run = self._runs.pop(run_id, None)
        if run and run.server:
            await run.server.stop()

    async def shutdown(self) -> None:
        await asyncio.gather(*(self.close(run_id) for run_id in list(self._runs)))
        await asyncio.gather(*self._storing)
        await self._client.aclose()

    def spent(self, run_id: RunId) -> Usage:
        run = self._runs.get(run_id)
        return run.spent if run else Usage()

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For sandboxes that reach us by the network; the token alone says which run it is."""
        await self._serve(scope, receive, send, None)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, only: _Run | None) -> None:
        if scope["type"] != "http":
            return
        method: str = scope["method"]
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
        if method == "HEAD":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        headers = httpx.Headers(scope["headers"])
        digest = _digest(_token(headers))
        run = self._run_of(digest, only)
        refusal = _refusal(run, method, path) if run else self._stranger(digest)
        if run is None or refusal:
            await send_refusal(send, refusal or UNKNOWN_TOKEN, final=refusal is not NOT_YET)
            return
        body = await _body(receive)
        if body is None:
            await send_refusal(send, TOO_LARGE)
            return
        if run.revoked:
            await send_refusal(send, REVOKED)
            return
        asked = read_request(body, run.allowed_models) if method == "POST" else ModelRequest("", stream=False)
        if isinstance(asked, Refusal):
            await send_refusal(send, asked)
            return
        outgoing = Outgoing(
            method=method,
            url=self._url(path, scope.get("query_string", b"")),
            headers=self._headers(headers),
            body=body,
            stream=asked.stream,
            counted=path == "/v1/messages",
        )
        await self._exchange(run, asked.model, outgoing, receive, send)

    async def _exchange(self, run: _Run, model: str, outgoing: Outgoing, receive: Receive, send: Send) -> None:
        accounted = Usage()

        async def account(tokens: Tokens) -> None:
            nonlocal accounted
            usage = self._prices.usage(model, tokens)
            delta = _minus(usage, accounted)
            accounted = usage
            # The client may go, and its request's task with it: what was used is stored all the same.
            storing = asyncio.create_task(run.account(delta))
            self._storing.add(storing)
            storing.add_done_callback(self._storing.discard)
            await asyncio.shield(storing)

        exchange = Exchange(self._client, outgoing, send, account, stall_seconds=self._stall_seconds)
        run.live.add(exchange)
        try:
            await exchange.run(receive)
        finally:
            run.live.discard(exchange)
        if run.revoked and not exchange.answered:
            await exchange.refuse(REVOKED)

    def _run_of(self, digest: bytes, only: _Run | None) -> _Run | None:
        found = None
        for run in [only] if only else self._runs.values():
            if hmac.compare_digest(run.token_digest, digest):
                found = run
        return found

    def _stranger(self, digest: bytes) -> Refusal:
        expected = any(hmac.compare_digest(known, digest) for known in self._expected.values())
        return NOT_YET if expected else UNKNOWN_TOKEN

    def _url(self, path: str, query: bytes) -> httpx.URL:
        return self._upstream.copy_with(path=self._upstream.path.rstrip("/") + path, query=query or None)

    def _headers(self, given: httpx.Headers) -> httpx.Headers:
        kept = [(name, value) for name, value in given.multi_items() if name.lower() not in _NOT_PASSED_ON]
        return httpx.Headers([*kept, ("x-api-key", self._api_key), ("accept-encoding", "identity")])


def _token(headers: httpx.Headers) -> str:
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else str(headers.get("x-api-key", ""))


def _refusal(run: _Run, method: str, path: str) -> Refusal | None:
    if run.revoked:
        return REVOKED
    if (method, path) not in _SERVED:
        return NO_SUCH_PATH
    if run.spent.cost_usd >= run.budget_usd:
        return budget_used_up(run.budget_usd)
    return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _minus(now: Usage, before: Usage) -> Usage:
    return Usage(
        now.input_tokens - before.input_tokens,
        now.output_tokens - before.output_tokens,
        now.cache_read_tokens - before.cache_read_tokens,
        now.cache_write_tokens - before.cache_write_tokens,
        now.cost_usd - before.cost_usd,
    )


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is larger than any that the API takes."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(pieces)
        piece = message.get("body", b"")
        size += len(piece)
        if size > BODY_LIMIT_BYTES:
            return None
        pieces.append(piece)
        if not message.get("more_body"):
            return b"".join(pieces)
