"""A sandbox that lives in this process: its programs, and the watch over what they use."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bot.sandbox import Exited, SandboxLost, watchdog
from bot.sandbox.contained import Contained
from bot.sandbox.place import Place
from bot.sandbox.processes import Pipes, Processes
from bot.sandbox.transfer import finish
from bot.sandbox.uids import Lease

_WATCH_SHARE = 10
"""Measuring may take one part in so many of the time."""
_FREE_BYTES = 512 * 1024**2
"""Less than this left on the host's disk ends a sandbox that is writing."""
_DISK_SECONDS = 60.0
_DISK_OUTPUT_BYTES = 4096
_STDERR_BYTES = 64 * 1024
_STARTED_SECONDS = 5.0
_STARTED_POLL_SECONDS = 0.05
_KILLED = (137, -9)
_MEASURE = ("du", "--summarize", "--one-file-system", "--block-size=1", "/files/workspace", "/files/home")


class Program:
    """A launched program and its files on the host."""

    def __init__(self, name: str, job: Path, contained: Contained) -> None:
        self.name = name
        self.contained = contained
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job

    def read(self, offset: int, limit_bytes: int) -> bytes:
        with (self._job / "out.jsonl").open("rb") as out:
            return os.pread(out.fileno(), limit_bytes, offset)

    def printed(self) -> bool:
        return (self._job / "out.jsonl").stat().st_size > 0

    def exited(self) -> Exited | None:
        try:
            record = json.loads((self._job / "exit").read_bytes())
        except FileNotFoundError:
            return None
        with (self._job / "stderr").open("rb") as errors:
            size = errors.seek(0, os.SEEK_END)
            tail = os.pread(errors.fileno(), _STDERR_BYTES, max(0, size - _STDERR_BYTES))
        return Exited(int(record["code"]), tail, str(record["reason"]))

    def record(self, code: int, reason: str) -> None:
        fresh = self._job / "exit.new"
        fresh.write_text(json.dumps({"code": code, "reason": reason}))
        fresh.rename(self._job / "exit")


@dataclass
class Living:
    """Created by this process, and not deleted yet."""

    place: Place
    processes: Processes
    lease: Lease
    watch_seconds: float
    programs: dict[str, Program] = field(default_factory=dict)
    ending: bool = False
    _active: set[Contained] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _watch: asyncio.Task[None] | None = None
    _stop_watching: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def using(self, contained: Contained) -> AsyncIterator[None]:
        """Count and watch it while it runs; it is dead afterwards."""
        self._active.add(contained)
        if not self._watch or self._watch.done():
            self._watch = asyncio.create_task(self._guard())
        try:
            yield
        finally:
            await contained.end()
            self._active.discard(contained)

    async def still(self, contained: Contained) -> Contained:
        """What was just started, unless the sandbox went away meanwhile."""
        if self.ending:
            await contained.end()
            raise SandboxLost(f"the sandbox {self.place.key} is gone")
        return contained

    def memory_kills(self) -> int:
        return group.memory_kills() if (group := self.processes.group) else 0

    def reason_of(self, contained: Contained, code: int, kills_before: int) -> str:
        if contained.reason in ("disk", "memory"):
            return contained.reason
        return "memory" if code in _KILLED and self.memory_kills() > kills_before else ""

    def adopt(self, program: Program, on_started: Callable[[], None]) -> None:
        """Follow a program that was just started to its end; `on_started` is called once."""
        self.programs[program.name] = program
        for work in (self._follow(program), self._await_start(program, on_started)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _follow(self, program: Program) -> None:
        kills = self.memory_kills()
        async with self.using(program.contained):
            code = await program.contained.wait()
        if program.contained.process.stdin:
            program.contained.process.stdin.close()
        program.record(code, self.reason_of(program.contained, code, kills))
        program.ended.set_result(None)

    async def _await_start(self, program: Program, on_started: Callable[[], None]) -> None:
        """Starting up is over with the first line, and certainly after a while."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STARTED_SECONDS):
                    # The kernel's file is what tells; there is nothing to be woken by.
                    while not program.ended.done() and not program.printed():  # noqa: ASYNC110
                        await asyncio.sleep(_STARTED_POLL_SECONDS)
        finally:
            on_started()

    async def end(self) -> None:
        """Kill all and wait until nothing is left."""
        self.ending = True
        for contained in (*self._active, *(program.contained for program in self.programs.values())):
            contained.kill()
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        for contained in list(self._active):
            await contained.wait()
        if self._watch:
            self._stop_watching.set()
            await self._watch

    async def _guard(self) -> None:
        loop = asyncio.get_running_loop()
        pause = self.watch_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_watching.wait(), pause)
            if not self._active:
                return
            began = loop.time()
            reason = await self._exceeded()
            if reason:
                for contained in list(self._active):
                    contained.kill(reason)
            pause = max(self.watch_seconds, (loop.time() - began) * _WATCH_SHARE)

    async def _exceeded(self) -> str:
        processes = await asyncio.to_thread(watchdog.descendants, {contained.pid for contained in self._active})
        if (
            not self.processes.group
            and await asyncio.to_thread(watchdog.memory_bytes, processes) > self.processes.spec.memory_bytes
        ):
            return "memory"
        used = await self._named_bytes()
        device = self.place.directory.stat().st_dev
        used += await asyncio.to_thread(watchdog.unlinked_bytes, processes, device)
        if used > self.processes.spec.disk_bytes or watchdog.free_bytes(self.place.directory) < _FREE_BYTES:
            return "disk"
        return ""

    async def _named_bytes(self) -> int:
        measuring = await self.processes.caretaker(_MEASURE, Pipes(stdout=asyncio.subprocess.PIPE))
        # Its complaints are about files that went away while it looked.
        _, output, _ = await finish(measuring, limit_bytes=_DISK_OUTPUT_BYTES, seconds=_DISK_SECONDS)
        jobs = watchdog.files_bytes(self.place.directory / "jobs")
        return watchdog.total_of(output) + jobs
