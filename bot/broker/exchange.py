"""One request of a run on its way to the model and back: streamed through, and counted whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import structlog
from starlette.types import Receive, Send

from bot.broker.meter import Meter, StreamMeter, WholeMeter
from bot.broker.prices import Tokens
from bot.broker.requests import UNREACHABLE, Refusal

_TOTAL_SECONDS = 600.0
_TIMEOUT = httpx.Timeout(_TOTAL_SECONDS, connect=10.0)
_BYTES_PER_TOKEN = 4
_NOT_PASSED_BACK = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-encoding",
    }
)
_NOT_RETRIED = frozenset({401, 402, 403})
"""With the same key the same answer comes again; the program would ask for minutes."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class Outgoing:
    """The request as the model's API gets it. `counted`: its answer uses tokens."""

    method: str
    url: httpx.URL
    headers: httpx.Headers
    body: bytes
    stream: bool
    counted: bool


class Exchange:
    """`account` gets the tokens so far, each time they are known better, and must have stored them on return."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        outgoing: Outgoing,
        send: Send,
        account: Callable[[Tokens], Awaitable[None]],
        *,
        stall_seconds: float,
    ) -> None:
        self._client = client
        self._outgoing = outgoing
        self._send = send
        self._account = account
        self._stall_seconds = stall_seconds
        self._meter: Meter | None = None
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self.answered = False
        """The answer's headers are out."""
        self.complete = False
        self.stalled = False

    async def run(self, receive: Receive) -> None:
        """Ends when the answer has, the client has gone, or `abort` was called."""
        self._task = asyncio.create_task(self._relay())
        gone = asyncio.create_task(_client_gone(receive))
        try:
            await asyncio.wait({self._task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            self._task.cancel()
            ended = (await asyncio.gather(self._task, gone, return_exceptions=True))[0]
            if not self.complete:
                await self._account(self._tokens())
        if isinstance(ended, Exception):
            raise ended

    def abort(self) -> None:
        if self._task:
            self._task.cancel()

    async def refuse(self, refusal: Refusal, *, final: bool = True) -> None:
        self.answered = True
        await send_refusal(self._send, refusal, final=final)

    def _tokens(self) -> Tokens:
        """What was used so far; guessed from the request where nothing was said before the end."""
        if self._meter is None:
            size = len(self._outgoing.body) if self._asked and self._outgoing.counted else 0
            return Tokens(input=size // _BYTES_PER_TOKEN)
        tokens = self._meter.tokens()
        if tokens == Tokens() and not self._meter.finished:
            return Tokens(input=len(self._outgoing.body) // _BYTES_PER_TOKEN)
        return tokens

    async def _relay(self) -> None:
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                await self._ask()
        except TimeoutError:
            self.stalled = True
            _log.warning("broker.stalled", answered=self.answered)
            await self._fail(Refusal(504, "api_error", "the model API sent nothing for too long"))
        except httpx.TransportError as error:
            if not self.answered:
                self._asked = False
            _log.warning("broker.upstream_failed", reason=type(error).__name__, answered=self.answered)
            await self._fail(UNREACHABLE)

    async def _fail(self, refusal: Refusal) -> None:
        # In the middle of an answer the connection is dropped: the program asks again by itself.
        if not self.answered:
            await self.refuse(refusal, final=False)

    async def _ask(self) -> None:
        request = self._client.build_request(
            self._outgoing.method,
            self._outgoing.url,
            headers=self._outgoing.headers,
            content=self._outgoing.body,
            timeout=_TIMEOUT,
        )
        wait_seconds = self._stall_seconds if self._outgoing.stream else None
        self._asked = True
        async with asyncio.timeout(wait_seconds):
            response = await self._client.send(request, stream=True)
        try:
            await self._answer(response, wait_seconds)
        finally:
            await response.aclose()

    async def _answer(self, response: httpx.Response, wait_seconds: float | None) -> None:
        if response.status_code != 200 or not self._outgoing.counted:
            self._asked = False
        elif response.headers.get("content-type", "").startswith("text/event-stream"):
            self._meter = StreamMeter()
        else:
            self._meter = WholeMeter()
        self.answered = True
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": _headers(response)})
        told = False
        pieces = response.aiter_bytes().__aiter__()
        while True:
            async with asyncio.timeout(wait_seconds):
                piece = await anext(pieces, None)
            if piece is None:
                break
            if self._meter:
                self._meter.feed(piece)
                # Before the client sees the end: then a crash cannot lose what it cost.
                if self._meter.finished or (self._meter.started and not told):
                    told = True
                    await self._account(self._meter.tokens())
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        await self._account(self._tokens())
        self.complete = True
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def send_refusal(send: Send, refusal: Refusal, *, final: bool = True) -> None:
    """`final` tells the program not to ask again."""
    body = refusal.body()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if final:
        headers.append((b"x-should-retry", b"false"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _headers(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    dropped = set(_NOT_PASSED_BACK)
    if "content-encoding" in response.headers:  # decoded on the way, to be counted
        dropped.add("content-length")
    headers = [(name.lower(), value) for name, value in response.headers.raw]
    kept = [(name, value) for name, value in headers if name.decode("latin-1") not in dropped]
    if response.status_code in _NOT_RETRIED:
        kept.append((b"x-should-retry", b"false"))
    return kept


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
