"""The scripted Messages API as an ASGI application.

`/v1/messages` plays the scenario that the prompt names (`scenario:fix-calc`) or the default one;
`/s/<scenario>/v1/messages` plays that scenario. `/control/…` steers it from another process.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote

from tests.fakes.model import wire
from tests.fakes.model.scenarios import SCENARIOS
from tests.fakes.model.script import Conversation, Step, read_conversation, say
from tests.fakes.model.state import Fault, FaultKind, Gate, Request, State, now, request_as_json

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_POLL_SECONDS = 0.02
_SSE = {"content-type": "text/event-stream; charset=utf-8"}
_JSON = {"content-type": "application/json"}


class ModelApp:
    def __init__(self, state: State) -> None:
        self.state = state
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = await _body(receive)
        exchange = _Exchange(self, scope, body, receive, send)
        await exchange.answer()

    def next_id(self) -> str:
        return f"msg_{next(self._numbers):06d}"


class _Exchange:
    def __init__(self, app: ModelApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        self.state = app.state
        self.app = app
        self.method: str = scope["method"]
        self.path = unquote(scope["path"])
        self.query: str = scope.get("query_string", b"").decode()
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.body = body
        self.receive = receive
        self.send = send

    async def answer(self) -> None:
        if self.path.startswith("/control/"):
            await self._control(self.path.removeprefix("/control/"))
            return
        scenario, _, route = self.path.removeprefix("/s/").partition("/v1/")
        named = scenario if self.path.startswith("/s/") else ""
        match (self.method, route):
            case ("POST", "messages"):
                await self._messages(named)
            case ("POST", "messages/count_tokens"):
                self._note(json.loads(self.body))
                await self._json(200, {"input_tokens": max(1, len(self.body) // 4)})
            case ("GET", "models"):
                self._note({})
                model = {"type": "model", "id": "claude-sonnet-5-5", "display_name": "Scripted"}
                await self._json(200, {"data": [model], "has_more": False})
            case _:
                self._note({})
                await self._json(404, wire.error_body("not_found_error", f"no such path: {self.path}"))

    def _note(self, body: dict[str, Any], scenario: str = "", step: int = 0) -> None:
        self.state.note(Request(self.method, self.path, self.query, self.headers, body, now(), scenario, step))

    async def _messages(self, named: str) -> None:
        body = json.loads(self.body)
        conversation = read_conversation(body)
        scenario = named or conversation.named or self.state.default_scenario
        self._note(body, scenario, conversation.answers)
        if scenario not in SCENARIOS:
            await self._json(404, wire.error_body("not_found_error", f"no scenario {scenario!r}"))
            return
        fault = self.state.take_fault(scenario, conversation)
        if fault and await self._fail_at_once(fault):
            return
        await self._gate(Gate(scenario, conversation.answers))
        step = _choose(scenario, conversation)
        message_id = self.app.next_id()
        if not conversation.stream:
            await self._json(200, wire.message(step, conversation, message_id))
            return
        await self._start(200, _SSE)
        midway = Gate(scenario, conversation.answers, midway=True)
        await self._stream(list(wire.events(step, conversation, message_id)), step, fault, midway)

    async def _stream(self, pieces: list[bytes], step: Step, fault: Fault | None, midway: Gate) -> None:
        half = max(1, len(pieces) // 2)
        for number, piece in enumerate(pieces):
            if number == 1:
                await self._gate(midway)
                if fault and fault.kind is FaultKind.SILENCE:
                    await self._wait_for_client_to_go()
                    return
            if fault and number == half and await self._fail_midway(fault):
                return
            await self._more(piece)
            if step.pace_seconds:
                await asyncio.sleep(step.pace_seconds)
        await self._end()

    async def _fail_at_once(self, fault: Fault) -> bool:
        match fault.kind:
            case FaultKind.STATUS:
                await self._json(fault.status, wire.error_body(fault.error_type, fault.message), dict(fault.headers))
            case FaultKind.DROP_BEFORE:
                self._drop()
            case FaultKind.NO_HEADERS:
                await self._wait_for_client_to_go()
            case FaultKind.EMPTY_200:
                await self._start(200, _SSE)
                await self._end()
            case FaultKind.HTML_200:
                await self._start(200, {"content-type": "text/html"})
                await self._end(b"<html><body>Please sign in</body></html>")
            case _:
                return False
        return True

    async def _fail_midway(self, fault: Fault) -> bool:
        match fault.kind:
            case FaultKind.DROP_MID:
                self._drop()
            case FaultKind.EOF_MID:
                await self._end()
            case FaultKind.SSE_ERROR:
                await self._end(wire.event(wire.error_body("overloaded_error", fault.message)))
            case FaultKind.BROKEN_JSON:
                await self._end(b'event: content_block_delta\ndata: {"type": "content_blo\n\n')
            case _:
                return False
        return True

    async def _gate(self, gate: Gate) -> None:
        if not self.state.closed(gate):
            return
        self.state.arrive(gate)
        gone = asyncio.ensure_future(self._wait_for_client_to_go())
        try:
            # A gate is opened by another thread, so there is no asyncio.Event to wait for.
            while self.state.closed(gate) and not gone.done():  # noqa: ASYNC110 - see above
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            gone.cancel()
            self.state.leave(gate)

    async def _control(self, command: str) -> None:
        given = json.loads(self.body) if self.body else {}
        match command:
            case "requests":
                await self._json(200, [request_as_json(request) for request in self.state.requests])
                return
            case "waiting":
                await self._json(200, [asdict(gate) for gate in self.state.waiting])
                return
            case "fail":
                self.state.fail(Fault(**{**given, "kind": FaultKind(given["kind"])}))
            case "hold":
                self.state.hold(Gate(**given))
            case "release":
                self.state.release(Gate(**given))
            case "reset":
                self.state.reset()
            case _:
                await self._json(404, {"unknown": command})
                return
        await self._json(200, {})

    async def _json(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        await self._start(status, {**_JSON, **(headers or {})})
        await self._end(json.dumps(body).encode())

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def _more(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def _end(self, data: bytes = b"") -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": False})

    async def _wait_for_client_to_go(self) -> None:
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def _drop(self) -> None:
        # ASGI has no word for it: `send` is a method of uvicorn's request cycle, which has the connection.
        self.send.__self__.transport.abort()  # type: ignore[attr-defined]  # see above


def _choose(scenario: str, conversation: Conversation) -> Step:
    if conversation.is_compaction:
        return say(f"Summary: the work on scenario:{scenario} went as planned.")
    if not conversation.has_tools:
        return say("A short answer.")
    return SCENARIOS[scenario](conversation)


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
