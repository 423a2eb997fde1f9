"""Daytona's API, one method for one call, each within its time; the only module that imports the SDK."""

import asyncio
import importlib
import json
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import httpx

from bot import certificates
from bot.daytona import failures
from bot.daytona.failures import DaytonaFailed, DaytonaMissing, Missing, Unanswered
from bot.daytona.snapshot import Definition

if TYPE_CHECKING:
    from daytona import AsyncDaytona, AsyncSandbox

T = TypeVar("T")

# The dead man's switch: a running sandbox is polled, which is activity; one that nobody polls stops and then goes.
_AUTO_STOP_MINUTES = 30
_AUTO_DELETE_MINUTES = 60
_SECONDS = 30.0
_CREATE_SECONDS = 180.0
_BUILD_SECONDS = 3600.0
_EXEC_GRACE_SECONDS = 15.0
_TRANSFER_SECONDS = 60.0
_SLOWEST_BYTES_PER_SECOND = 256 * 1024
_PAGE = 200
ENDING = frozenset({"destroying", "destroyed"})
_NOT_RUNNING = ENDING | {
    *("stopping", "stopped", "pausing", "paused", "archiving", "archived"),
    *("error", "build_failed"),
}


@dataclass(frozen=True)
class Found:
    """A sandbox, as the control plane has it. `state` is Daytona's word."""

    name: str
    id: str
    state: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpu: float = 0.0
    memory_gib: float = 0.0
    disk_gib: float = 0.0
    destroyed_at: str = ""
    """When Daytona destroys it whatever happens; empty for never."""

    @property
    def key(self) -> str:
        return self.labels.get("key", "")

    @property
    def runs(self) -> bool:
        """Or is about to."""
        return self.state not in _NOT_RUNNING


@dataclass(frozen=True)
class FoundSnapshot:
    """`problem`: why it is in the state `error` or `build_failed`."""

    name: str
    state: str
    cpu: float
    memory_gib: float
    disk_gib: float
    problem: str = ""


@asynccontextmanager
async def connect(*, api_key: str, api_url: str, target: str | None) -> "AsyncIterator[Calls]":
    """Raises DaytonaMissing."""
    url = api_url.rstrip("/")
    sdk = await _client(api_key, url, target)
    headers = {"Authorization": f"Bearer {api_key}", "X-Daytona-Source": "backspace", "Accept-Encoding": "identity"}
    try:
        # Each use has a timeout of its own around it.
        async with httpx.AsyncClient(
            verify=certificates.trusted(), headers=headers, timeout=httpx.Timeout(None, connect=15.0)
        ) as http:
            yield Calls(sdk, http, url)
    finally:
        await sdk.__aexit__()


async def _client(api_key: str, api_url: str, target: str | None) -> "AsyncDaytona":
    try:
        # It takes a second, which the event loop has not.
        sdk = await asyncio.to_thread(importlib.import_module, "daytona._async.daytona")
    except ModuleNotFoundError as error:
        raise DaytonaMissing from error
    from daytona import AsyncDaytona, DaytonaConfig
    from daytona._utils.env import DaytonaEnvReader

    class Environment(DaytonaEnvReader):
        """Without the `.env` and `.env.local` of whichever directory this process is in."""

        @staticmethod
        def _load(path: str) -> dict[str, str]:  # noqa: ARG004 -- the SDK's signature
            return {}

    vars(sdk)["DaytonaEnvReader"] = Environment
    config = DaytonaConfig(api_key=api_key, api_url=api_url, target=target, use_deprecated_polling=True)
    with warnings.catch_warnings():
        # Without events it asks for a new sandbox's state at once and every 0.1 s instead of once a second, and there
        # is no websocket to lose.
        warnings.filterwarnings("ignore", message="Polling-only mode", category=DeprecationWarning)
        return AsyncDaytona(config)


class Calls:
    """Sandboxes by name. Methods raise DaytonaFailed; Unanswered where the same call may do later."""

    def __init__(self, sdk: "AsyncDaytona", http: httpx.AsyncClient, api_url: str) -> None:
        self._sdk = sdk
        self._http = http
        self._api_url = api_url
        self._known: dict[str, AsyncSandbox] = {}

    # --- sandboxes

    def known(self, name: str) -> str | None:
        """The id that calls into it go to; None until it is created or found."""
        return self._known[name].id if name in self._known else None

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    async def create(
        self, name: str, *, snapshot: str, labels: Mapping[str, str], ttl_minutes: int, hosts: Sequence[str] | None
    ) -> Found:
        """Returns when it is started. Its end says nothing about whether it was made."""
        from daytona import CreateSandboxFromSnapshotParams

        params = CreateSandboxFromSnapshotParams(
            name=name,
            snapshot=snapshot,
            labels=dict(labels),
            auto_stop_interval=_AUTO_STOP_MINUTES,
            auto_delete_interval=_AUTO_DELETE_MINUTES,
            ttl_minutes=ttl_minutes,
            domain_allow_list=None if hosts is None else ",".join(hosts),
        )
        # Its own timeout is off: when that is near, it takes our cancellation for its own end.
        return self._learn(await self._within(_CREATE_SECONDS, self._sdk.create(params, timeout=0)))

    async def get(self, name: str) -> Found:
        """Raises Missing."""
        try:
            return self._learn(await self._within(_SECONDS, self._sdk.get(name)))
        except Missing:
            self.forget(name)
            raise

    async def started(self, name: str) -> Found:
        """Waits for that. The sandbox is known."""
        sandbox = self._known[name]
        await self._within(_CREATE_SECONDS, sandbox.wait_for_sandbox_start(timeout=0))
        return self._learn(sandbox)

    async def destroy(self, name: str) -> bool:
        """Whether it is being destroyed now, or does not exist.

        Without the SDK, which cannot read the answers of a server that is older than itself.
        """

        async def call() -> bool:
            answer = await self._http.delete(f"{self._api_url}/sandbox/{name}")
            if answer.status_code == 404:
                return True
            if answer.is_success:
                return _body(answer.content).get("state") in ENDING
            if answer.status_code in (400, 409):
                raise Unanswered(f"cannot be destroyed in its present state: {answer.text}", status=answer.status_code)
            raise _failure(answer, answer.content)

        return await self._within(_SECONDS, call())

    async def list(self, labels: Mapping[str, str]) -> list[Found]:
        """With those labels. Behind what single calls say, by seconds."""
        from daytona import ListSandboxesQuery

        async def pages() -> list[Found]:
            query = ListSandboxesQuery(labels=dict(labels), limit=_PAGE)
            return [_found(sandbox) async for sandbox in self._sdk.list(query)]

        return await self._within(_SECONDS * 2, pages())

    def _learn(self, sandbox: "AsyncSandbox") -> Found:
        found = _found(sandbox)
        self._known[found.name] = sandbox
        return found

    # --- inside; the sandbox is known

    async def execute(self, name: str, command: str, *, timeout_seconds: float) -> tuple[int, str]:
        """Raises CommandTimedOut."""
        whole = max(1, round(timeout_seconds))
        answer = await self._within(whole + _EXEC_GRACE_SECONDS, self._known[name].process.exec(command, timeout=whole))
        return int(answer.exit_code), answer.result

    async def upload(self, name: str, files: Mapping[PurePosixPath, bytes | Path]) -> None:
        from daytona import FileUpload

        uploads = [
            FileUpload(source if isinstance(source, bytes) else str(source), str(path))
            for path, source in files.items()
        ]
        size = sum(len(source) if isinstance(source, bytes) else source.stat().st_size for source in files.values())
        await self._within(_transfer_seconds(size), self._known[name].fs.upload_files(uploads, timeout=0))

    async def part(self, name: str, path: PurePosixPath, offset: int, limit_bytes: int) -> bytes | None:
        """Of a file; None when the answer does not heed the range. Raises Missing.

        https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
        """
        sandbox = self._known[name]
        url = f"{sandbox.toolbox_proxy_url.rstrip('/')}/{sandbox.id}/files/download"
        wanted = {"Range": f"bytes={offset}-{offset + limit_bytes - 1}"}

        async def call() -> bytes | None:
            async with self._http.stream("GET", url, params={"path": str(path)}, headers=wanted) as answer:
                if answer.status_code == 416:
                    return b""
                if not answer.is_success:
                    raise _failure(answer, await answer.aread())
                heeded = answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
                content = bytearray()
                async for chunk in answer.aiter_raw():
                    # An empty file has no ranges, and then there is no chunk.
                    if answer.status_code != 206 or not heeded:
                        return None
                    content += chunk
                    if len(content) >= limit_bytes:
                        break
                return bytes(content[:limit_bytes])

        return await self._within(_transfer_seconds(limit_bytes), call())

    # --- snapshots

    async def snapshot(self, name: str) -> FoundSnapshot:
        """Raises Missing."""
        found = await self._within(_SECONDS, self._sdk.snapshot.get(name))
        state, problem = str(found.state.value), found.error_reason or ""
        return FoundSnapshot(found.name, state, found.cpu, found.mem, found.disk, problem)

    async def build(self, definition: Definition, on_line: Callable[[str], None]) -> None:
        """Returns when it is active. When the connection breaks, it may go on."""
        from daytona import CreateSnapshotParams, Image, Resources

        def lines(chunk: str) -> None:
            for line in chunk.splitlines():
                on_line(line.rstrip())

        params = CreateSnapshotParams(
            name=definition.name,
            image=Image.base(definition.base).dockerfile_commands(list(definition.steps)),
            resources=Resources(cpu=definition.cpu, memory=definition.memory_gib, disk=definition.disk_gib),
        )
        await self._within(_BUILD_SECONDS, self._sdk.snapshot.create(params, on_logs=lines, timeout=0))

    async def activate(self, name: str) -> None:
        """Ask for it."""
        from daytona._utils.errors import intercept_errors

        # The one call that the SDK's own translation of errors was forgotten for.
        activate = intercept_errors("Failed to activate snapshot: ")(self._sdk.snapshot.activate)
        await self._within(_SECONDS, activate(name))

    async def delete_snapshot(self, name: str) -> None:
        """Raises Missing."""
        await self._within(_SECONDS, self._sdk.snapshot.delete(name))

    async def _within(self, seconds: float, call: Awaitable[T]) -> T:
        from daytona import DaytonaConnectionError, DaytonaError, DaytonaTimeoutError

        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError as error:
            raise Unanswered(f"Daytona did not answer within {seconds:g} s") from error
        except httpx.HTTPError as error:
            raise Unanswered(f"Daytona cannot be reached: {error!r}") from error
        except DaytonaError as error:
            if isinstance(error, DaytonaConnectionError | DaytonaTimeoutError) and error.status_code is None:
                raise Unanswered(f"Daytona cannot be reached: {error}") from error
            raise failures.of_answer(
                error.status_code, str(error), headers=error.headers, code=error.code or "", source=error.source or ""
            ) from error


def _transfer_seconds(size_bytes: int) -> float:
    return _TRANSFER_SECONDS + size_bytes / _SLOWEST_BYTES_PER_SECOND


def _found(sandbox: "AsyncSandbox") -> Found:
    return Found(
        sandbox.name,
        sandbox.id,
        str(sandbox.state.value) if sandbox.state else "unknown",
        dict(sandbox.labels),
        sandbox.cpu,
        sandbox.memory,
        sandbox.disk,
        sandbox.auto_destroy_at or "",
    )


def _body(content: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _failure(answer: httpx.Response, content: bytes) -> DaytonaFailed:
    """Of an error's body: {"message", "code"?, "source"?, …}."""
    told = _body(content)
    return failures.of_answer(
        answer.status_code,
        str(told.get("message") or answer.reason_phrase),
        headers=answer.headers,
        code=str(told.get("code") or ""),
        source=str(told.get("source") or ""),
    )
