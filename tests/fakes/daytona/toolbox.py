"""The toolbox's routes: commands and files of one sandbox, as its daemon answers through the proxy."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import PurePosixPath
from urllib.parse import quote

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.daytona.container import HOME_DIR, WORK_DIR, Container, Dead, answer_of
from tests.fakes.daytona.faults import Fault
from tests.fakes.daytona.state import Box, Cloud, Refused
from tests.fakes.daytona.wire import Answer, Api, Call, Handler, Json

_DEFAULT_SECONDS = 360
_CHUNK_BYTES = 65536
_BOUNDARY = "DAYTONA-FILE-BOUNDARY"
_SKIP = "x-daytona-skip-last-activity-update"
_ERRORS = {"missing": (404, "FILE_NOT_FOUND"), "denied": (403, "FILE_ACCESS_DENIED")}


class NoOverlap(Exception):
    """416."""


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """Offset and length; None for the whole file. As Go's net/http does it: an empty file has no ranges, and is
    answered as if none had been asked for."""
    if not header or size == 0:
        return None
    unit, _, ranges = header.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit != "bytes" or not dash:
        raise NoOverlap
    if "," in ranges:
        return None
    if not first:
        length = min(int(last), size)
        return size - length, length
    begin = int(first)
    if begin >= size:
        raise NoOverlap
    end = min(int(last), size - 1) if last else size - 1
    return begin, end - begin + 1


def _raise(found: Json) -> None:
    if "error" in found:
        status, code = _ERRORS.get(found["error"], (400, "BAD_REQUEST"))
        raise Refused(status, found["words"], code)


def _info(found: Json) -> Json:
    modified = datetime.fromtimestamp(found["seconds"], UTC)
    return {
        "name": found["name"],
        "path": found["path"],
        "isDir": found["kind"] == "folder",
        "size": found["size"],
        "mode": stat.filemode(found["mode"]),
        "permissions": f"{stat.S_IMODE(found['mode']):04o}",
        "modTime": modified.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
        "modifiedAt": modified.isoformat().replace("+00:00", "Z"),
        "owner": "agent",
        "group": "agent",
    }


class Toolbox:
    def __init__(self, cloud: Cloud, api: Api) -> None:
        self.cloud = cloud
        self._api = api

    def routes(self) -> Sequence[Route]:
        return [
            self.route("POST", "/process/execute", self.execute),
            self.route("POST", "/files/bulk-upload", self.upload, body=False),
            self.route("POST", "/files/bulk-download", self.bulk_download),
            self.route("GET", "/files/download", self.download),
            self.route("GET", "/files/info", self.info),
            self.route("GET", "/files", self.listed),
            self.route("DELETE", "/files", self.delete),
            self.route("POST", "/files/folder", self.folder),
            self.route("GET", "/work-dir", self.work_dir),
            self.route("GET", "/user-home-dir", self.home_dir),
            self.route("GET", "/version", self.version),
        ]

    def route(self, method: str, template: str, handler: Handler, *, body: bool = True) -> Route:
        async def alive(call: Call) -> Answer | Response:
            box = self.box(call.request)
            try:
                return await handler(call)
            except Dead as error:
                raise self.silent(box) from error
            finally:
                self._seen(box, call.request)

        return self._api.route(method, template, alive, body=body)

    def box(self, request: Request) -> Box:
        """Raises Refused as the proxy does."""
        box = self.cloud.boxes.get(str(request.path_params["id"]))
        if box is None:
            raise Refused(404, "Sandbox not found", "NOT_FOUND")
        self._seen(box, request)
        if box.state != "started" and not box.stuck:
            raise self.silent(box)
        if not (box.container and box.container.alive):
            raise self.silent(box)
        return box

    def silent(self, box: Box) -> Refused:
        """What the proxy says when nobody answers it."""
        if box.state == "destroyed":
            return Refused(404, "Sandbox not found", "NOT_FOUND")
        if box.state == "started":
            return Refused(502, "Bad gateway")
        return Refused(400, "bad request: no IP address found. Is the Sandbox started?", "BAD_REQUEST")

    def _seen(self, box: Box, request: Request) -> None:
        if request.headers.get(_SKIP) != "true":
            box.last_activity_at = self.cloud.clock.now()

    def container(self, call: Call) -> Container:
        container = self.cloud.boxes[call.path("id")].container
        if container is None:
            raise Dead
        return container

    # --- commands

    async def execute(self, call: Call) -> Answer:
        timeout = call.body.get("timeout") or _DEFAULT_SECONDS
        order = {"do": "execute", **call.body, "timeout": timeout}
        async with self.container(call).call(order) as (reader, _):
            found = await answer_of(reader)
            output = await reader.readexactly(found["bytes"])
        if found["code"] is None:
            raise Refused(408, "command execution timeout", "PROCESS_EXECUTION_TIMEOUT")
        return Answer(body={"exitCode": found["code"], "result": output.decode(errors="replace")})

    async def work_dir(self, call: Call) -> Answer:
        return Answer(body={"dir": WORK_DIR})

    async def home_dir(self, call: Call) -> Answer:
        return Answer(body={"dir": HOME_DIR})

    async def version(self, call: Call) -> Answer:
        return Answer(body={"version": "v0.205.0"})

    # --- files

    async def upload(self, call: Call) -> Response:
        """Each path stands before its file."""
        done: list[Json] = []
        errors: list[str] = []
        async with call.request.form(max_files=10_000, max_fields=10_000) as form:
            paths: dict[str, str] = {}
            for name, value in form.multi_items():
                number, _, part = name.removeprefix("files[").partition("].")
                if part == "path" and isinstance(value, str):
                    paths[number] = value
                elif part == "file" and isinstance(value, UploadFile) and number in paths:
                    found = await self._write(self.container(call), paths[number], value)
                    if "error" in found:
                        errors.append(f"{paths[number]}: {found['words']}")
                    else:
                        done.append({"path": paths[number], "bytes": found["bytes"]})
                else:
                    errors.append(f"{name}: a file whose path is not known")
        return JSONResponse({"errors": errors, "files": done}, 400) if errors else JSONResponse({"files": done})

    async def _write(self, container: Container, path: str, file: UploadFile) -> Json:
        order = {"do": "write", "path": path, "size": file.size or 0}
        async with container.call(order) as (reader, writer):
            while part := await file.read(_CHUNK_BYTES):
                writer.write(part)
                await writer.drain()
            return await answer_of(reader)

    async def download(self, call: Call) -> Response:
        header = None if call.fault(Fault.RANGE_IGNORED) else call.request.headers.get("range")
        async with AsyncExitStack() as stack:
            order = {"do": "read", "path": call.query("path")}
            reader, writer = await stack.enter_async_context(self.container(call).call(order))
            found = await answer_of(reader)
            _raise(found)
            if found["kind"] != "file":
                raise Refused(400, "path must be a file", "BAD_REQUEST")
            size = found["size"]
            headers = {"accept-ranges": "bytes", "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
            try:
                part = wanted(header, size)
            except NoOverlap:
                headers["content-range"] = f"bytes */{size}"
                return PlainTextResponse("invalid range: failed to overlap\n", 416, headers)
            offset, length = part or (0, size)
            name = PurePosixPath(found["path"]).name
            headers |= {"content-length": str(length), "content-disposition": f"attachment; filename={quote(name)}"}
            if part:
                headers["content-range"] = f"bytes {offset}-{offset + length - 1}/{size}"
            kept = stack.pop_all()

        async def content() -> AsyncIterator[bytes]:
            async with kept:
                writer.write(json.dumps({"offset": offset, "length": length}).encode() + b"\n")
                left = length
                while left and (piece := await reader.read(min(left, _CHUNK_BYTES))):
                    left -= len(piece)
                    yield piece

        return StreamingResponse(content(), 206 if part else 200, headers, "application/octet-stream")

    async def bulk_download(self, call: Call) -> Response:
        parts: list[bytes] = []
        for path in call.body["paths"]:
            async with self.container(call).call({"do": "read", "path": path}) as (reader, writer):
                found = await answer_of(reader)
                if found.get("kind") == "file":
                    writer.write(json.dumps({"offset": 0, "length": found["size"]}).encode() + b"\n")
                    parts.append(_part("file", path, "application/octet-stream", await reader.read(-1)))
                    continue
            status, code = _ERRORS.get(found.get("error", ""), (400, "BAD_REQUEST"))
            told = {"message": found.get("words", "path must be a file"), "statusCode": status, "code": code}
            parts.append(_part("error", path, "application/json", json.dumps(told).encode()))
        body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
        return Response(body, media_type=f"multipart/form-data; boundary={_BOUNDARY}")

    async def info(self, call: Call) -> Answer:
        found = await self.container(call).ask({"do": "describe", "path": call.query("path")})
        _raise(found)
        return Answer(body=_info(found))

    async def listed(self, call: Call) -> Answer:
        found = await self.container(call).ask({"do": "list", "path": call.query("path")})
        _raise(found)
        return Answer(body=[_info(entry) for entry in found.get("entries", []) if "error" not in entry])

    async def delete(self, call: Call) -> Answer:
        recursive = call.query("recursive") == "true"
        _raise(await self.container(call).ask({"do": "delete", "path": call.query("path"), "recursive": recursive}))
        return Answer(204)

    async def folder(self, call: Call) -> Answer:
        mode = int(call.query("mode", "755"), 8)
        _raise(await self.container(call).ask({"do": "folder", "path": call.query("path"), "mode": mode}))
        return Answer(201)


def _part(name: str, path: str, kind: str, content: bytes) -> bytes:
    plain = path.isascii() and path.isprintable() and not set(path) & {'"', "\\"}
    label = f'filename="{path}"' if plain else f"filename*=UTF-8''{quote(path, safe='')}"
    head = f'--{_BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Disposition: form-data; name="{name}"; {label}\r\n\r\n'
    return head.encode() + content + b"\r\n"
