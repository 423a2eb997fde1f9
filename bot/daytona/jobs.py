"""Programs inside a sandbox, run and followed through calls that are short and may be lost.

Each has a folder of its own in there; detached.py says what is in it. All that is read from it an agent may have
written.
"""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol, TypeVar

from pydantic import Base64Bytes, BaseModel, ValidationError

from bot.daytona.failures import CommandTimedOut
from bot.daytona.pace import Pace
from bot.sandbox import Exited, Finished, Handle, Running, SandboxFailed, SandboxId, SandboxLost

OURS = PurePosixPath("/workspace/.backspace")
"""Where detached.py and supervisor.py must be in a sandbox."""
PYTHON = '"$(PATH=/usr/bin:/usr/local/bin command -v python3)" -I -S'
"""In a shell: the system's, whatever a repository installed."""

_JOBS = OURS / "jobs"
_KILLED = -9
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# No call stays open longer than the shortest patience of a proxy on the way.
_CALL_SECONDS = 25.0
_KILL_SECONDS = 10.0
_ABANDON_SECONDS = 30.0
_CALL_TRIES = 4
_OVERDUE_SECONDS = 60.0
_ALIVE_SECONDS = 30.0
_READ_SECONDS = 0.1
_LOOK_SECONDS = 0.3
_INLINE_BYTES = 256 * 1024
_EXIT_BYTES = 256 * 1024
_PIECE_BYTES = 16 * 1024**2
_LAUNCHED_OUTPUT_BYTES = 512 * 1024**2
_LOW_PRIORITY = 10
_SAID_CHARACTERS = 500


class Toolbox(Protocol):
    """What can be done inside the sandbox of a key. Calls may be made twice when an answer is lost."""

    async def execute(self, key: str, command: str, *, timeout_seconds: float) -> tuple[int, str]: ...

    async def upload(self, key: str, files: Mapping[PurePosixPath, bytes | Path]) -> None: ...

    async def download(self, key: str, path: PurePosixPath, *, offset: int = 0, limit_bytes: int) -> bytes | None: ...


class _Exit(BaseModel):
    code: int
    reason: Literal["", "disk", "memory"] = ""
    timed_out: bool = False
    cut: bool = False
    seconds: float = 0.0
    stderr: Base64Bytes = b""

    def exited(self) -> Exited:
        return Exited(self.code, self.stderr, self.reason)


class _Answer(BaseModel):
    """What detached.py prints."""

    state: Literal["never", "running", "ended", "dead"]
    order: str = ""
    chunks: int = 0
    closed: bool = False
    exit: _Exit | None = None
    output: Base64Bytes | None = None


_Model = TypeVar("_Model", bound=BaseModel)


@dataclass
class _Program:
    """What this process knows of a launched one."""

    chunks: int | None
    """Pieces of stdin that are there; None when that is to be asked."""
    reading: Pace
    looking: Pace
    alive_at: float
    """When it was last known to live."""
    closed: bool = False
    exited: Exited | None = None
    seen: int = 0
    """Bytes of stdout that are known to exist."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Jobs:
    """Of all sandboxes. Methods raise what the toolbox raises, SandboxLost and SandboxFailed."""

    def __init__(
        self, toolbox: Toolbox, *, clock: Callable[[], float], new_id: Callable[[], str], wait_seconds: float
    ) -> None:
        """`clock` in seconds, monotonic. `wait_seconds`: how long one call may wait inside for a command's end."""
        self._toolbox = toolbox
        self._clock = clock
        self._new_id = new_id
        self._wait_seconds = wait_seconds
        self._programs: dict[str, dict[str, _Program]] = {}
        self._background: set[asyncio.Task[None]] = set()

    def forget(self, key: str) -> None:
        """The sandbox is gone."""
        self._programs.pop(key, None)

    # Short ones

    async def run(
        self,
        key: str,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath,
        env: Mapping[str, str],
        timeout_seconds: float,
        stdin: bytes | Path = b"",
        limit_bytes: int = 64 * 1024,
        low_priority: bool = False,
    ) -> Finished:
        """Run it to its end; nothing that it started lives on, also when this is cancelled."""
        folder = _JOBS / f"run-{self._new_id()}"
        order = _order(
            argv,
            cwd=cwd,
            env=env,
            nice=_LOW_PRIORITY if low_priority else 0,
            stdin=bool(stdin),
            seconds=timeout_seconds,
            merged=True,
            limit_bytes=limit_bytes,
        )
        last: dict[PurePosixPath, bytes | Path] = {folder / "run.json": order}
        if stdin:
            last |= await self._send(key, folder, stdin)
        await self._toolbox.upload(key, last)
        try:
            answer = await self._to_the_end(key, folder, timeout_seconds)
        except BaseException:
            await self._abandon(key, folder)
            raise
        if answer.exit is None:
            return Finished(_KILLED, b"", timeout_seconds)
        output = answer.output
        if output is None:
            output = b"".join([part async for part in self.content(key, folder / "out", limit_bytes)])
        end = answer.exit
        return Finished(end.code, output, end.seconds, timed_out=end.timed_out, cut=end.cut, reason=end.reason)

    async def _send(self, key: str, folder: PurePosixPath, stdin: bytes | Path) -> dict[PurePosixPath, bytes | Path]:
        """Upload all but the last pieces, which are left for the caller to send along."""
        number = 0
        left: dict[PurePosixPath, bytes | Path] = {}
        async for piece in _pieces(stdin):
            if left:
                await self._toolbox.upload(key, left)
            left = {folder / "in" / f"{number}-{len(piece)}": piece}
            number += 1
        return {**left, folder / "in" / f"{number}-end": b""}

    async def _to_the_end(self, key: str, folder: PurePosixPath, timeout_seconds: float) -> _Answer:
        deadline = self._clock() + timeout_seconds + _OVERDUE_SECONDS
        answer = await self._ask(key, "start", folder, "run", seconds=self._wait_seconds, inline_bytes=_INLINE_BYTES)
        while answer.state == "running":
            if self._clock() > deadline:
                raise SandboxFailed("a command in the sandbox does not end")
            answer = await self._ask(key, "wait", folder, seconds=self._wait_seconds, inline_bytes=_INLINE_BYTES)
        if answer.state == "never":
            raise SandboxFailed("a command was not started in the sandbox")
        return answer

    async def _abandon(self, key: str, folder: PurePosixPath) -> None:
        """Goes on when this task is cancelled once more."""

        async def end() -> None:
            try:
                async with asyncio.timeout(_ABANDON_SECONDS):
                    await self._ask(key, "kill", folder, seconds=_KILL_SECONDS)
            except (SandboxLost, SandboxFailed, TimeoutError):
                # The sandbox's own end is then the command's.
                return

        task = asyncio.create_task(end())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        await asyncio.shield(task)

    async def content(self, key: str, path: PurePosixPath, limit_bytes: int) -> AsyncIterator[bytes]:
        """A file's bytes in pieces, up to the limit. Raises SandboxFailed when it is missing."""
        offset = 0
        while offset < limit_bytes:
            wanted = min(_PIECE_BYTES, limit_bytes - offset)
            part = await self._toolbox.download(key, path, offset=offset, limit_bytes=wanted)
            if part is None:
                raise SandboxFailed(f"{path} is missing in the sandbox")
            offset += len(part)
            yield part
            if len(part) < wanted:
                return

    # Launched ones

    async def launch(
        self, key: str, argv: Sequence[str], *, name: str, cwd: PurePosixPath, env: Mapping[str, str]
    ) -> Handle:
        """Raises SandboxFailed when that name was launched before."""
        folder, attempt = _folder(name), self._new_id()
        order = _order(
            argv, cwd=cwd, env=env, nice=0, stdin=True, seconds=0.0, merged=False, limit_bytes=_LAUNCHED_OUTPUT_BYTES
        )
        await self._toolbox.upload(key, {folder / f"{attempt}.json": order})
        answer = await self._ask(key, "start", folder, attempt)
        if answer.order != attempt:
            raise SandboxFailed(f"a program named {name} was launched in this sandbox before")
        handle = Handle(SandboxId(key), name)
        self._learn(handle, answer)
        return handle

    async def write(self, handle: Handle, data: bytes) -> None:
        """Bytes for a program that has ended are dropped."""
        if data:
            await self._add_piece(handle, data)

    async def close_stdin(self, handle: Handle) -> None:
        await self._add_piece(handle, None)

    async def _add_piece(self, handle: Handle, data: bytes | None) -> None:
        """None for the end."""
        program = await self._program(handle)
        async with program.writing:
            if program.chunks is None:
                answer = await self._ask(handle.sandbox, "wait", _folder(handle.name))
                program.chunks, program.closed = answer.chunks, answer.closed
            if program.closed or program.exited:
                return
            number, program.chunks = program.chunks, None
            name = f"{number}-end" if data is None else f"{number}-{len(data)}"
            # While this is under way, and after it failed, nobody knows whether the piece is there.
            await self._toolbox.upload(handle.sandbox, {_folder(handle.name) / "in" / name: data or b""})
            program.closed = data is None
            program.chunks = number + (data is not None)
            program.reading.hurry(self._clock())

    async def read(self, handle: Handle, offset: int, limit_bytes: int) -> bytes:
        """Asks no more often than there may be news."""
        program = await self._program(handle)
        if not program.exited and offset >= program.seen and not program.reading.is_due(self._clock()):
            return b""
        found = await self._toolbox.download(
            handle.sandbox, _folder(handle.name) / "out", offset=offset, limit_bytes=limit_bytes
        )
        if found is None:
            raise SandboxLost(f"the output of {handle.name} in the sandbox {handle.sandbox} is gone")
        program.seen = max(program.seen, offset + len(found))
        if found:
            program.reading.hurry(self._clock(), at_once=len(found) == limit_bytes)
            program.looking.hurry(self._clock())
        else:
            program.reading.slow_down(self._clock())
        return found

    async def status(self, handle: Handle) -> Running | Exited:
        program = await self._program(handle)
        if program.exited:
            return program.exited
        if not program.looking.is_due(self._clock()):
            return Running()
        found = await self._toolbox.download(handle.sandbox, _folder(handle.name) / "exit", limit_bytes=_EXIT_BYTES)
        if found is not None:
            program.exited = _parsed(_Exit, found).exited()
            return program.exited
        program.looking.slow_down(self._clock())
        if self._clock() - program.alive_at > _ALIVE_SECONDS:
            program = self._learn(handle, await self._ask(handle.sandbox, "wait", _folder(handle.name)))
        return program.exited or Running()

    async def kill(self, handle: Handle) -> None:
        answer = await self._ask(handle.sandbox, "kill", _folder(handle.name), seconds=_KILL_SECONDS)
        if answer.state == "running":
            raise SandboxFailed(f"the program {handle.name} of the sandbox {handle.sandbox} cannot be ended")
        self._learn(handle, answer)

    async def _program(self, handle: Handle) -> _Program:
        known = self._programs.get(handle.sandbox, {}).get(handle.name)
        # Launched by an earlier process of ours, if at all.
        return known or self._learn(handle, await self._ask(handle.sandbox, "wait", _folder(handle.name)))

    def _learn(self, handle: Handle, answer: _Answer) -> _Program:
        if answer.state == "never":
            raise SandboxLost(f"the program {handle.name} of the sandbox {handle.sandbox} is gone")
        now = self._clock()
        programs = self._programs.setdefault(handle.sandbox, {})
        program = programs.setdefault(
            handle.name, _Program(answer.chunks, Pace(_READ_SECONDS), Pace(_LOOK_SECONDS), now, answer.closed)
        )
        program.alive_at = now
        if answer.state in ("ended", "dead"):
            program.exited = program.exited or (answer.exit.exited() if answer.exit else Exited(_KILLED))
        return program

    async def _ask(
        self,
        key: str,
        verb: str,
        folder: PurePosixPath,
        *words: str,
        seconds: float = 0.0,
        inline_bytes: int = 0,
    ) -> _Answer:
        """One of detached.py's commands, each of which may be given twice."""
        line = shlex.join([str(OURS / "detached.py"), verb, str(folder), *words, f"{seconds:g}", str(inline_bytes)])
        for _ in range(_CALL_TRIES - 1):
            try:
                return await self._answer(key, line)
            except CommandTimedOut:
                # A sandbox that is busy enough for that may be so for a while.
                continue
        return await self._answer(key, line)

    async def _answer(self, key: str, line: str) -> _Answer:
        # The shell reads its commands from its stdin, which is not ours to read.
        code, said = await self._toolbox.execute(key, f"{PYTHON} {line} </dev/null", timeout_seconds=_CALL_SECONDS)
        answers = [each for each in said.splitlines() if each.startswith("{")]
        if code != 0 or not answers:
            raise SandboxFailed(f"the sandbox {key} cannot run programs: exit {code} {said[-_SAID_CHARACTERS:]}")
        return _parsed(_Answer, answers[-1].encode())


def _order(
    argv: Sequence[str],
    *,
    cwd: PurePosixPath,
    env: Mapping[str, str],
    nice: int,
    stdin: bool,
    seconds: float,
    merged: bool,
    limit_bytes: int,
) -> bytes:
    """As supervisor.py reads it."""
    order = {
        "argv": list(argv),
        "cwd": str(cwd),
        "env": dict(env),
        "nice": nice,
        "stdin": stdin,
        "seconds": seconds,
        "merged": merged,
        "limit_bytes": limit_bytes,
    }
    return json.dumps(order).encode()


def _folder(name: str) -> PurePosixPath:
    if not _NAME.fullmatch(name):
        raise SandboxFailed(f"{name!r} is no name for a program")
    return _JOBS / name


async def _pieces(source: bytes | Path) -> AsyncIterator[bytes]:
    if isinstance(source, bytes):
        for start in range(0, len(source), _PIECE_BYTES):
            yield source[start : start + _PIECE_BYTES]
        return
    with source.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece


def _parsed(model: type[_Model], content: bytes) -> _Model:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        raise SandboxFailed("what a sandbox says of a program in it cannot be read") from error
