"""Clone and push: git's smart HTTP by `git http-backend`, one process per request, bodies streamed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from tests.fakes.github.access import Anonymous, AsInstallation, AsPerson, Caller
from tests.fakes.github.answers import Refusal
from tests.fakes.github.bare import git_environment
from tests.fakes.github.faults import Fault, Faults
from tests.fakes.github.log import Log
from tests.fakes.github.operations import Parts
from tests.fakes.github.wire import drop, respond
from tests.fakes.github.world import Account, Repository

_ADDRESS = re.compile(r"/(?P<name>[^/]+/[^/]+?)(?:\.git)?(?P<service>/info/refs|/git-upload-pack|/git-receive-pack)")
_CHUNK_BYTES = 64 * 1024
_CHALLENGE = {"www-authenticate": 'Basic realm="GitHub"'}


@dataclass(frozen=True)
class _Asked:
    repository_name: str
    service: str
    push: bool


class SmartHttp:
    def __init__(self, parts: Parts, faults: Faults, log: Log) -> None:
        self._parts = parts
        self._faults = faults
        self._log = log

    @staticmethod
    def concerns(path: str) -> bool:
        return _ADDRESS.fullmatch(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        match = _ADDRESS.fullmatch(path)
        assert match is not None
        push = b"git-receive-pack" in scope["query_string"] or path.endswith("/git-receive-pack")
        asked = _Asked(match["name"], match["service"], push)
        headers = Headers(scope=scope)
        plan = self._faults.take(method, path)
        fault = plan.fault if plan else None
        caller: Caller = Anonymous()
        if plan and plan.fault is Fault.SLOW:
            await asyncio.sleep(plan.seconds)
        elif fault is Fault.DROP or fault is Fault.DROP_AFTER:
            self._log.add(method, path, 0, "git", fault=fault)
            await drop(send)
            return
        elif fault:
            status = {Fault.UNAUTHORIZED: 401, Fault.TOO_MANY: 429, Fault.SECONDARY_LIMIT: 403}.get(fault, 500)
            self._log.add(method, path, status, "git", fault=fault)
            await respond(send, status, b"fault on demand\n", {"content-type": "text/plain"})
            return
        try:
            caller = self._parts.access.identify(headers.get("authorization"))
            repository = self._allowed(caller, asked)
        except Refusal as refusal:
            self._log.add(method, path, refusal.status, "git", caller=caller.name)
            await respond(
                send,
                refusal.status,
                f"{refusal.message}\n".encode(),
                {"content-type": "text/plain; charset=utf-8", **refusal.headers},
            )
            return
        environment = self._environment(scope, repository, caller, asked)
        if asked.push and asked.service == "/git-receive-pack":
            pusher = caller.account if isinstance(caller, AsPerson) else self._parts.app.bot
            status = await self._run(receive, send, environment, partial(self._pushed, repository, pusher))
        else:
            status = await self._run(receive, send, environment, None)
        self._log.add(method, path, status, "git", caller=caller.name, fault=fault)

    def _allowed(self, caller: Caller, asked: _Asked) -> Repository:
        """GitHub asks strangers for credentials, and tells those it knows that there is no such repository."""
        world = self._parts.world
        repository = world.repository(asked.repository_name)
        if repository is None:
            number = world.former_names.get(asked.repository_name.lower())
            repository = world.repositories.get(number) if number else None
        needs = "contents=write" if asked.push else "contents=read"
        if isinstance(caller, Anonymous) and (asked.push or repository is None or repository.private):
            raise Refusal(401, "Authentication required", headers=_CHALLENGE)
        if repository is None:
            raise Refusal(404, "Repository not found.")
        try:
            self._parts.access.require(caller, repository, needs, write=asked.push)
        except Refusal as refusal:
            if refusal.status == 403:
                raise Refusal(403, "Write access to repository not granted.") from None
            raise Refusal(404, "Repository not found.") from None
        if asked.push and repository.archived:
            raise Refusal(403, "This repository was archived so it is read-only.")
        return repository

    def _environment(self, scope: Scope, repository: Repository, caller: Caller, asked: _Asked) -> dict[str, str]:
        headers = Headers(scope=scope)
        environment = {
            **git_environment(repository.bare.path.parent),
            "GIT_PROJECT_ROOT": str(repository.bare.path),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": asked.service,
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "REQUEST_METHOD": scope["method"],
            "CONTENT_TYPE": headers.get("content-type", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        }
        if asked.push:
            environment["REMOTE_USER"] = "git"
        if "content-length" in headers:
            environment["CONTENT_LENGTH"] = headers["content-length"]
        if isinstance(caller, AsInstallation) and "workflows" not in caller.token.permissions:
            environment["GITHUB_WORKFLOWS"] = "refused"
        if "required_signatures" in repository.rules:
            environment["GITHUB_SIGNATURES"] = "required"
        return environment

    def _pushed(self, repository: Repository, pusher: Account) -> None:
        for outgoing in self._parts.forge.refs_changed(repository, pusher):
            self._parts.forge.hooks.send_later(outgoing)

    @staticmethod
    async def _run(receive: Receive, send: Send, environment: dict[str, str], pushed: Callable[[], None] | None) -> int:
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_CHUNK_BYTES,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = asyncio.create_task(_feed(_body(receive), process.stdin))
        try:
            status, headers = await _cgi_head(process.stdout)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            while chunk := await process.stdout.read(_CHUNK_BYTES):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await process.wait()
            if pushed:  # before the client hears that it is done
                await asyncio.to_thread(pushed)
            await send({"type": "http.response.body", "body": b""})
        finally:
            feeding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await feeding
            if process.returncode is None:
                process.kill()
                await process.wait()
        return status


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _feed(body: AsyncIterator[bytes], stdin: asyncio.StreamWriter) -> None:
    # The backend may answer, and end, before it has read everything.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for chunk in body:
            stdin.write(chunk)
            await stdin.drain()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.close()
        await stdin.wait_closed()


async def _cgi_head(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    """RFC 3875, 6.3: header lines up to an empty one, the status among them."""
    status, headers = 200, []
    while line := (await stdout.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            headers.append((name.lower(), value.strip()))
    return status, headers
