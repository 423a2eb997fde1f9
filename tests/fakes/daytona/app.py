"""Both APIs behind one door, which knows the key, lets faults happen and writes down who asked for what."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Router
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from tests.fakes.daytona.faults import Fault, Faults, Plan
from tests.fakes.daytona.state import Box, Cloud, Refused
from tests.fakes.daytona.wire import refusal

API = "/api"
TOOLBOX = "/toolbox/"
_ABOUT_ONE = ("sandbox", "toolbox")
_RETRY_AFTER = {"retry-after": "1", "retry-after-authenticated": "1", "x-ratelimit-remaining-authenticated": "0"}
_DROPS = (Fault.DROP, Fault.DROP_AFTER)
_INSTEAD = {
    Fault.SERVER_ERROR: Refused(500, "Internal server error"),
    Fault.BAD_GATEWAY: Refused(502, "Bad gateway"),
    Fault.TOO_MANY: Refused(429, "Too many requests, please try again later", "RATE_LIMIT_EXCEEDED"),
    Fault.UNAUTHORIZED: Refused(401, "Unauthorized", "UNAUTHORIZED"),
}
_AFTER = {
    Fault.SERVER_ERROR_AFTER: Refused(500, "Internal server error"),
    Fault.BAD_GATEWAY_AFTER: Refused(502, "Bad gateway"),
}


@dataclass(frozen=True)
class Logged:
    """A request and the status of its answer; None where the connection was closed without one."""

    method: str
    path: str
    """Without the id: /sandbox, /sandbox/<name>/stop, /toolbox/<name>/process/execute."""
    sandbox: str
    query: str
    headers: Mapping[str, str]
    body: object
    """Of JSON; None where there is none."""
    status: int | None

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"


class Door:
    def __init__(
        self,
        cloud: Cloud,
        routes: Sequence[BaseRoute],
        faults: Faults,
        *,
        key: str,
        log: list[Logged],
        problems: list[str],
    ) -> None:
        self._cloud = cloud
        self._router = Router(routes)
        self._faults = faults
        self._key = key
        self._log = log
        self._problems = problems

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        request = Request(scope) if scope["type"] == "http" else None
        path, box = self._place(scope["path"])
        body: Any = None
        if request and (scope["path"].startswith(API) or path.endswith("/execute")):
            text = await Request(scope, receive).body()
            body = json.loads(text) if text else None
            receive = _again(text)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        method = scope.get("method", "GET")
        created = path == "/sandbox" and method == "POST" and isinstance(body, dict)
        about = path.split("/")
        name = str(body.get("name", "")) if created else about[2] if about[1] in _ABOUT_ONE and len(about) > 2 else ""
        logged = False

        def log(status: int | None) -> None:
            nonlocal logged
            if not logged:
                logged = True
                query = scope.get("query_string", b"").decode()
                self._log.append(Logged(method, path, name, query, headers, body, status))

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                log(message["status"])  # before the client can look
            await send(message)

        try:
            if headers.get("authorization") != f"Bearer {self._key}" and "socket.io" not in path:
                await self._refuse(scope, receive, noting, _INSTEAD[Fault.UNAUTHORIZED])
                return
            plan = self._faults.take(f"{method} {path}", name)
            await self._answer({**scope, "raw_send": send}, receive, noting, plan, box)
        finally:
            log(None)

    def _place(self, path: str) -> tuple[str, Box | None]:
        """With names for ids, and the sandbox that it is about."""
        parts = path.removeprefix(API).split("/")
        known = len(parts) > 2 and parts[1] in _ABOUT_ONE
        box: Box | None = None
        if known:
            with contextlib.suppress(Refused):
                box = self._cloud.find(parts[2])
            parts[2] = self._cloud.names.get(parts[2], parts[2])
        return "/".join(parts), box

    async def _answer(self, scope: Scope, receive: Receive, send: Send, plan: Plan | None, box: Box | None) -> None:
        fault = plan.fault if plan else None
        if plan and fault is Fault.LATE:
            await asyncio.sleep(plan.seconds)
        if plan and fault is Fault.SLOW:
            send = _slow(send, plan.seconds)
        if box and fault is Fault.STOPS:
            await self._cloud.stop(box)
        if box and fault is Fault.DAEMON_DIES:
            await self._cloud.die(box)
        if fault in _INSTEAD:
            await self._refuse(scope, receive, send, _INSTEAD[fault], limited=fault is Fault.TOO_MANY)
            return
        scope = {**scope, "plan": plan}
        after = fault in _AFTER or fault is Fault.DROP_AFTER
        if scope["type"] == "websocket" and "socket.io" in scope["path"]:
            await WebSocket(scope, receive, send).send_denial_response(PlainTextResponse("Not Found", 404))
        elif fault is not Fault.DROP:
            try:
                await self._router(scope, receive, _ignored if after else send)
            except ClientDisconnect:
                return  # while it was sending
            except Exception as error:
                self._problems.append(f"the emulator itself failed at {scope['path']}: {error!r}")
                raise
        if fault in _AFTER:
            await self._refuse(scope, receive, send, _AFTER[fault])
        if fault in _DROPS:
            await _drop(scope["raw_send"])

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, error: Refused, *, limited: bool = False
    ) -> None:
        source = "DAYTONA_PROXY" if scope["path"].startswith(TOOLBOX) else "DAYTONA_API"
        answer = refusal(HTTPConnection(scope), error, source, _RETRY_AFTER if limited else None)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(answer)
        else:
            await answer(scope, receive, send)


def _again(text: bytes) -> Receive:
    """What was read, for who reads next; then nothing more, until the client is gone."""
    told = False

    async def receive() -> Message:
        nonlocal told
        if told:
            await asyncio.Event().wait()
        told = True
        return {"type": "http.request", "body": text, "more_body": False}

    return receive


def _slow(send: Send, seconds: float) -> Send:
    """The answer begins that much later than it could."""
    begun = False

    async def later(message: Message) -> None:
        nonlocal begun
        if not begun:
            begun = True
            await asyncio.sleep(seconds)
        await send(message)

    return later


async def _ignored(message: Message) -> None:
    """An answer that is not sent."""


async def _drop(send: Send) -> None:
    """Close the connection without a word: ASGI has none, and uvicorn's `send` is a method of what holds it."""
    transport: asyncio.Transport = send.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
    transport.abort()
    # The protocol hears of the lost connection in the next turns of the loop, and then answers no more.
    for _ in range(3):
        await asyncio.sleep(0)
