"""The toolbox's sessions: commands of a shell that lives on, and their logs over a websocket."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.fakes.daytona.container import Container, Dead, answer_of
from tests.fakes.daytona.state import Refused
from tests.fakes.daytona.toolbox import Toolbox
from tests.fakes.daytona.wire import Answer, Call, Json

_FRAME_BYTES = 1024
_POLL_SECONDS = 0.05
_LINGER_SECONDS = 1.0
_MARKS = {b"\1\1\1": "stdout", b"\2\2\2": "stderr"}
_SESSION = "/process/session/{sessionId}"
_COMMAND = _SESSION + "/command/{commandId}"
_ERRORS = {
    "exists": (409, "CONFLICT"),
    "missing": (404, "NOT_FOUND"),
    "broken": (500, "INTERNAL_SERVER_ERROR"),
}


@dataclass
class Command:
    id: str
    text: str
    folder: str


@dataclass
class Session:
    id: str
    commands: dict[str, Command] = field(default_factory=dict)


def split(log: bytes) -> dict[str, str]:
    """Each stream's lines without their marks."""
    streams = {"stdout": b"", "stderr": b""}
    for line in log.splitlines(keepends=True):
        name = _MARKS.get(line[:3], "stdout")
        streams[name] += line[3:] if line[:3] in _MARKS else line
    return {name: text.decode(errors="replace") for name, text in streams.items()}


class Sessions:
    """Known only as long as their container lives."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox
        self._known: dict[Container, dict[str, Session]] = {}

    def routes(self) -> Sequence[BaseRoute]:
        route = self._toolbox.route
        return [
            route("POST", "/process/session", self.create),
            route("GET", "/process/session", self.listed),
            route("GET", _SESSION, self.get),
            route("DELETE", _SESSION, self.delete),
            route("POST", f"{_SESSION}/exec", self.run),
            route("GET", _COMMAND, self.command),
            route("GET", f"{_COMMAND}/logs", self.logs),
            WebSocketRoute(f"/toolbox/{{id}}{_COMMAND}/logs", self.follow),
        ]

    def _of(self, container: Container) -> dict[str, Session]:
        return self._known.setdefault(container, {})

    def _session(self, call: Call) -> Session:
        found = self._of(self._toolbox.container(call)).get(call.path("sessionId"))
        if found is None:
            raise Refused(404, "session not found", "NOT_FOUND")
        return found

    def _command(self, call: Call) -> Command:
        found = self._session(call).commands.get(call.path("commandId"))
        if found is None:
            raise Refused(404, "command not found", "NOT_FOUND")
        return found

    async def _ask(self, call: Call, order: Json) -> Json:
        found = await self._toolbox.container(call).ask(order)
        if "error" in found:
            status, code = _ERRORS[found["error"]]
            raise Refused(status, found["words"], code)
        return found

    async def create(self, call: Call) -> Answer:
        name = call.body["sessionId"]
        await self._ask(call, {"do": "session-create", "session": name})
        self._of(self._toolbox.container(call))[name] = Session(name)
        return Answer(201)

    async def listed(self, call: Call) -> Answer:
        container = self._toolbox.container(call)
        return Answer(body=[await self._shown(container, session) for session in self._of(container).values()])

    async def get(self, call: Call) -> Answer:
        return Answer(body=await self._shown(self._toolbox.container(call), self._session(call)))

    async def delete(self, call: Call) -> Answer:
        name = self._session(call).id
        await self._ask(call, {"do": "session-delete", "session": name})
        del self._of(self._toolbox.container(call))[name]
        return Answer(204)

    async def run(self, call: Call) -> Answer | Response:
        session = self._session(call)
        later = bool(call.body.get("runAsync") or call.body.get("async"))
        number = str(uuid.uuid4())
        order = {"session": session.id, "number": number, "command": call.body["command"], "wait": not later}
        found = await self._ask(call, {"do": "session-run", **order})
        session.commands[number] = Command(number, call.body["command"], found["folder"])
        if later:
            return JSONResponse(
                {"cmdId": number, "output": None, "stdout": None, "stderr": None, "exitCode": None}, 202
            )
        container = self._toolbox.container(call)
        log = await _read(container, f"{found['folder']}/output.log")
        code = await _exit_code(container, found["folder"])
        shown = {"cmdId": number, "output": log.decode(errors="replace"), **split(log)}
        return Answer(body=shown | ({} if code is None else {"exitCode": code}))

    async def command(self, call: Call) -> Answer:
        return Answer(body=await _shown(self._toolbox.container(call), self._command(call)))

    async def logs(self, call: Call) -> Answer:
        log = await _read(self._toolbox.container(call), f"{self._command(call).folder}/output.log")
        return Answer(body={"output": log.decode(errors="replace"), **split(log)})

    async def _shown(self, container: Container, session: Session) -> Json:
        commands = [await _shown(container, command) for command in session.commands.values()]
        return {"sessionId": session.id, "commands": commands}

    async def follow(self, socket: WebSocket) -> None:
        """All of the log from its first byte, then what comes, until a moment after the command's end."""
        box = self._toolbox.cloud.boxes.get(socket.path_params["id"])
        container = box.container if box else None
        session = self._of(container).get(socket.path_params["sessionId"]) if container else None
        command = session.commands.get(socket.path_params["commandId"]) if session else None
        if container is None or command is None:
            await socket.send_denial_response(JSONResponse({"statusCode": 404, "message": "command not found"}, 404))
            return
        await socket.accept()
        gone = asyncio.create_task(_gone(socket))
        try:
            await self._send(socket, container, command, gone)
        except Dead:
            await socket.close(1011)
        except (WebSocketDisconnect, RuntimeError):
            return  # whoever followed has left
        finally:
            gone.cancel()

    async def _send(self, socket: WebSocket, container: Container, command: Command, gone: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        offset, end = 0, 0.0
        while not gone.done():
            news = await _read(container, f"{command.folder}/output.log", offset)
            for begin in range(0, len(news), _FRAME_BYTES):
                await socket.send_bytes(news[begin : begin + _FRAME_BYTES])
            offset += len(news)
            if not end and await _exit_code(container, command.folder) is not None:
                end = loop.time() + _LINGER_SECONDS
            if end and loop.time() > end:
                await socket.close(1000)
                return
            await asyncio.wait([gone], timeout=_POLL_SECONDS)


async def _gone(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _shown(container: Container, command: Command) -> Json:
    code = await _exit_code(container, command.folder)
    return {"id": command.id, "command": command.text} | ({} if code is None else {"exitCode": code})


async def _exit_code(container: Container, folder: str) -> int | None:
    text = await _read(container, f"{folder}/exit_code")
    return int(text) if text else None


async def _read(container: Container, path: str, offset: int = 0) -> bytes:
    """From the offset on; nothing where there is no such file."""
    async with container.call({"do": "read", "path": path}) as (reader, writer):
        found = await answer_of(reader)
        length = max(0, found.get("size", 0) - offset)
        writer.write(json.dumps({"offset": offset, "length": length}).encode() + b"\n")
        return await reader.readexactly(length)
