"""The sandboxes of one deployment on Daytona: made once, found again, never left behind."""

import asyncio
import base64
import binascii
import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

import structlog

from bot.daytona import calls
from bot.daytona.calls import ENDING, Calls, Found, FoundSnapshot
from bot.daytona.failures import (
    DaytonaFailed,
    KeyRefused,
    Missing,
    NameTaken,
    NoTimeToLive,
    PolicyRefused,
    SandboxGone,
    SnapshotUnusable,
    TooManySandboxes,
    Unanswered,
)
from bot.daytona.patience import Patience, Sleep
from bot.daytona.snapshots import Snapshots

__all__ = ["Cloud", "Found", "FoundSnapshot", "connect"]

T = TypeVar("T")

_CREATE_TRIES = 5
_CREATE_SECONDS = 360.0
_INSIDE_TRIES = 30
_INSIDE_SECONDS = 180.0
"""How long a sandbox may say nothing although Daytona has it as started, before it counts as lost."""
_GOING_POLLS = 120
_GOING_POLL_SECONDS = 0.5
_PLACE_POLL_SECONDS = 2.0
_CLOSE_SECONDS = 10.0
_FALLBACK_SECONDS = 30.0
# As base64 in an answer in JSON.
_FALLBACK_BYTES = 512 * 1024
_NO_SUCH_FILE = 44
# And not of a file whose path has the word.
_NO_SANDBOX = re.compile(r"\bsandbox\b[^/]*\bnot found", re.IGNORECASE)
log = structlog.get_logger("bot.daytona.cloud")


@asynccontextmanager
async def connect(
    *,
    api_key: str,
    api_url: str,
    target: str | None,
    deployment: str,
    new_id: Callable[[], str],
    sleep: Sleep = asyncio.sleep,
    ceiling: int = 20,
    place_seconds: float = 120.0,
) -> "AsyncIterator[Cloud]":
    """One for a process. Sandboxes live on when it ends.

    `ceiling`: the most sandboxes of this deployment; a further one waits `place_seconds` for a place.
    Raises DaytonaMissing.
    """
    async with calls.connect(api_key=api_key, api_url=api_url, target=target) as connected:
        cloud = Cloud(connected, deployment, new_id=new_id, sleep=sleep, ceiling=ceiling, place_seconds=place_seconds)
        try:
            yield cloud
        finally:
            await cloud.settle()


class Cloud:
    """Made by `connect`. A key names a sandbox of this deployment.

    Methods raise SandboxGone (a SandboxLost) and DaytonaFailed (a SandboxFailed). What may be repeated is, for a
    while, when Daytona does not answer or asks to wait.
    """

    def __init__(
        self,
        api: Calls,
        deployment: str,
        *,
        new_id: Callable[[], str],
        sleep: Sleep,
        ceiling: int,
        place_seconds: float,
    ) -> None:
        self._api = api
        self._deployment = deployment
        self._new_id = new_id
        self._patience = Patience(sleep)
        self.snapshots = Snapshots(api, self._patience)
        self._ceiling = ceiling
        self._place_seconds = place_seconds
        self._living: set[str] = set()
        self._making: set[str] = set()
        self._deleted: set[str] = set()
        self._counted = False
        self._door = asyncio.Lock()
        self._ranges = True
        self._background: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        """Wait for what goes on in the background."""
        if self._background:
            await asyncio.wait(self._background, timeout=_CLOSE_SECONDS)

    def name(self, key: str) -> str:
        """By which Daytona knows it."""
        return f"backspace-{self._deployment}-{key}"

    @property
    def heeds_ranges(self) -> bool:
        """Whether every download so far brought only the part that was asked for."""
        return self._ranges

    async def create(
        self, key: str, *, run: str, snapshot: str, ttl_minutes: int, hosts: Sequence[str] | None
    ) -> Found:
        """A new sandbox of that name, started; one that has the name already is destroyed first.

        `hosts`: the only names that it may reach; None: no policy. Whatever goes wrong, none is left behind.
        Raises PolicyRefused, SnapshotUnusable, TooManySandboxes, NoTimeToLive.
        """
        await self._take_place(key)
        try:
            return await self._made(key, run, snapshot, ttl_minutes, hosts)
        except (PolicyRefused, KeyRefused, SnapshotUnusable):
            # Nothing was made.
            self._living.discard(key)
            raise
        except BaseException:
            await self._undo(key)
            raise
        finally:
            self._making.discard(key)

    async def _take_place(self, key: str) -> None:
        try:
            # Who waits first is served first.
            async with asyncio.timeout(self._place_seconds), self._door:
                if not self._counted:
                    await self.owned()
                    self._counted = True
                while key not in self._living and len(self._living) >= self._ceiling:
                    await self.owned()
                    if len(self._living) >= self._ceiling:
                        await self._patience.sleep(_PLACE_POLL_SECONDS)
                self._living.add(key)
                self._making.add(key)
                self._deleted.discard(key)
        except TimeoutError as error:
            raise TooManySandboxes from error

    async def _made(self, key: str, run: str, snapshot: str, ttl_minutes: int, hosts: Sequence[str] | None) -> Found:
        labels = {"backspace": self._deployment, "run": run, "key": key, "attempt": self._new_id()}

        async def once() -> Found:
            try:
                return await self._api.create(
                    self.name(key), snapshot=snapshot, labels=labels, ttl_minutes=ttl_minutes, hosts=hosts
                )
            except NameTaken:
                return await self._adopted(key, labels["attempt"])
            except DaytonaFailed as error:
                if error.status not in (400, 404) or "snapshot" not in str(error).lower():
                    raise
                await self.snapshots.revive(snapshot)
                raise Unanswered(str(error), status=error.status) from error

        # After an answer that was lost, the name is taken: by a sandbox with this attempt's label, which is adopted.
        found: Found = await self._patience.take(once, tries=_CREATE_TRIES, seconds=_CREATE_SECONDS)
        if not found.destroyed_at:
            raise NoTimeToLive
        return found

    async def _adopted(self, key: str, attempt: str) -> Found:
        """The sandbox that has the name, if this attempt made it; else room is made."""
        name = self.name(key)
        try:
            found = await self._api.get(name)
            if found.labels.get("attempt") == attempt and found.state not in ENDING:
                return await self._api.started(name)
            await self._destroyed(key)
            for _ in range(_GOING_POLLS):
                await self._api.get(name)
                await self._patience.sleep(_GOING_POLL_SECONDS)
        except Missing as error:
            raise Unanswered("its name was taken, and is free now") from error
        raise NameTaken(f"the sandbox {name} has been about to be destroyed for too long")

    async def _undo(self, key: str) -> None:
        """Goes on when this task is cancelled once more."""

        async def away() -> None:
            try:
                await self.delete(key)
            except DaytonaFailed as error:
                log.warning("daytona.sandbox_left", sandbox=self.name(key), error=str(error))

        task = asyncio.create_task(away())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        await asyncio.shield(task)

    async def find(self, key: str) -> Found | None:
        """None when it does not exist or is being destroyed."""
        return await self._patience.take(lambda: self._look(key))

    async def _look(self, key: str) -> Found | None:
        try:
            found = await self._api.get(self.name(key))
        except Missing:
            return None
        return None if found.state in ENDING else found

    async def delete(self, key: str) -> None:
        """Returns when it is at least being destroyed; one that does not exist is no error."""
        await self._destroyed(key)
        self._living.discard(key)
        self._deleted.add(key)

    async def _destroyed(self, key: str) -> None:
        name = self.name(key)
        going = await self._patience.take(lambda: self._api.destroy(name))
        for _ in range(_GOING_POLLS):
            if going or await self.find(key) is None:
                self._api.forget(name)
                return
            await self._patience.sleep(_GOING_POLL_SECONDS)
        raise DaytonaFailed(f"the sandbox {name} does not go away")

    async def owned(self) -> list[Found]:
        """This deployment's sandboxes. Daytona's list runs behind: what this process did itself is looked up."""
        answer = await self._patience.take(lambda: self._api.list({"backspace": self._deployment}))
        listed = {found.key: found for found in answer if found.key and found.state not in ENDING}
        for key in (self._living - listed.keys() - self._making) | (self._deleted & listed.keys()):
            found = await self.find(key)
            if found is not None:
                listed[key] = found
                continue
            listed.pop(key, None)
            if key not in self._making:
                self._living.discard(key)
        self._deleted &= listed.keys()
        self._living |= listed.keys()
        return list(listed.values())

    # --- inside a sandbox

    async def _inside(self, key: str, call: Callable[[str], Awaitable[T]], *, repeatable: bool = True) -> T:
        """Raises SandboxGone when it does not run, or has not answered for a long time."""
        name = self.name(key)

        async def once() -> T:
            if self._api.known(name) is None:
                await self._must_run(key)
            asked = self._api.known(name)
            try:
                return await call(name)
            except Unanswered:
                await self._must_run(key)
                raise
            except Missing as error:
                if error.surely_inside:
                    raise
                await self._must_run(key)
                if self._api.known(name) != asked or _NO_SANDBOX.search(str(error)):
                    raise Unanswered(str(error), status=error.status) from error
                raise

        if not repeatable:
            return await once()
        try:
            return await self._patience.take(once, tries=_INSIDE_TRIES, seconds=_INSIDE_SECONDS)
        except Unanswered as error:
            raise SandboxGone(f"the sandbox {name} does not answer: {error}") from error

    async def _must_run(self, key: str) -> None:
        found = await self._look(key)
        if found is None or not found.runs:
            state = found.state if found else ""
            raise SandboxGone(f"the sandbox {self.name(key)} is {state or 'gone'}", state=state)

    async def execute(
        self, key: str, command: str, *, timeout_seconds: float, repeatable: bool = True
    ) -> tuple[int, str]:
        """A shell's command: its exit code, and what it said on both streams.

        `repeatable`: it may run twice, for an answer can be lost; else that raises Unanswered. Raises CommandTimedOut.
        """
        return await self._inside(
            key,
            lambda name: self._api.execute(name, command, timeout_seconds=timeout_seconds),
            repeatable=repeatable,
        )

    async def upload(self, key: str, files: Mapping[PurePosixPath, bytes | Path]) -> None:
        """Bytes or a host's file to each path; folders are made, files overwritten."""
        await self._inside(key, lambda name: self._api.upload(name, files))

    async def download(self, key: str, path: PurePosixPath, *, offset: int = 0, limit_bytes: int) -> bytes | None:
        """Bytes `offset` to `offset + limit_bytes` of a file. None: there is no such file; b"": nothing behind."""
        if limit_bytes <= 0:
            return b""
        if self._ranges:
            try:
                found = await self._inside(key, lambda name: self._api.part(name, path, offset, limit_bytes))
            except Missing:
                return None
            if found is not None:
                return found
            self._ranges = False
            log.warning("daytona.ranges_ignored", sandbox=self.name(key))
        return await self._by_command(key, path, offset, limit_bytes)

    async def _by_command(self, key: str, path: PurePosixPath, offset: int, limit_bytes: int) -> bytes | None:
        content = bytearray()
        while len(content) < limit_bytes:
            piece = min(limit_bytes - len(content), _FALLBACK_BYTES)
            file = shlex.quote(str(path))
            command = (
                f"[ -f {file} ] || exit {_NO_SUCH_FILE}; "
                f"tail -c +{offset + len(content) + 1} {file} 2>/dev/null | head -c {piece} | base64 -w0"
            )
            code, text = await self.execute(key, command, timeout_seconds=_FALLBACK_SECONDS)
            if code == _NO_SUCH_FILE:
                return None
            try:
                found = base64.b64decode(text.strip(), validate=True)
            except binascii.Error as error:
                raise DaytonaFailed(f"{path} could not be read: exit {code}") from error
            content += found
            if len(found) < piece:
                break
        return bytes(content)
