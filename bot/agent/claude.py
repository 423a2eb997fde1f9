"""One process of Claude Code in a sandbox: started, listened to, steered, ended."""

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bot.agent.command import (
    CONFIG,
    PROGRAM,
    Order,
    argv,
    environment,
    interrupt_line,
    user_line,
)
from bot.agent.ending import Cut, Exit, conclude
from bot.agent.endings import Ending
from bot.agent.stream import Translator
from bot.errors import BackspaceError
from bot.events import Event, Todo
from bot.model import Usage
from bot.sandbox import HOME, Exited, Finished, Handle, Sandbox, SandboxFailed, SandboxId
from bot.sandbox.follow import Ended, Follower, Idle, Line

_POLL_SECONDS = 0.05
_ARCHIVE = HOME / ".backspace-session.tgz"
_NOTHING_TO_PACK = 3
# The transcript, its subagents' folder and the task list. A project's folder is named after its path.
_PACK = f"""
cd "$1" 2>/dev/null || exit {_NOTHING_TO_PACK}
files=$(ls -d projects/*/"$3".jsonl projects/*/"$3" tasks/"$3" 2>/dev/null)
[ -n "$files" ] || exit {_NOTHING_TO_PACK}
tar -czf "$2" $files
"""
_UNPACK = 'mkdir -p "$1" && tar -xzf "$2" -C "$1" && rm "$2"'
_ARCHIVE_LIMIT_BYTES = 256 * 1024**2
_ARCHIVE_SECONDS = 60.0
_INTERRUPT_ID = "backspace-interrupt"


class ClaudeMissing(BackspaceError):
    """The Claude Code program is not installed: install Backspace with its extra `agent`."""


@dataclass(frozen=True)
class Patience:
    """How long we wait, in seconds. `wall`: for all of it. `idle`: for a word, while no tool runs."""

    wall_seconds: float
    idle_seconds: float = 600.0
    grace_seconds: float = 10.0
    """Between asking it to end and killing it."""
    stop_grace_seconds: float = 3.0
    """The same when a person asked, who waits for the answer."""


@dataclass(frozen=True)
class Batch:
    """New events, and the offset of stdout to go on from once they are stored."""

    events: tuple[Event, ...]
    offset: int


@dataclass(frozen=True)
class Report:
    """How it ended. `usage` is the program's own count: information, not the bill."""

    ending: Ending
    session_id: str
    usage: Usage


class Agent:
    """Made by `launch` or `attach`; `follow` it to its end, then read `report`."""

    def __init__(
        self,
        sandbox: Sandbox,
        handle: Handle,
        patience: Patience,
        *,
        clock: Callable[[], float],
        offset: int = 0,
        todo: Todo | None = None,
    ) -> None:
        self.handle = handle
        self.report: Report | None = None
        self._sandbox = sandbox
        self._patience = patience
        self._clock = clock
        self._stored = offset
        self._translator = Translator(todo)
        self._cut: Cut | None = None
        self._asked_to_end = False
        self._kill_at: float | None = None
        self._stdin_open = True
        self._wake = asyncio.Event()

    @property
    def activity(self) -> str:
        """What the agent does now, in a few words."""
        return self._translator.activity

    async def follow(self) -> AsyncIterator[Batch]:
        """Events as they come, until the process has ended. Call it once."""
        started = self._clock()
        # From the start also after a restart: what was stored already is read for the translator's sake only.
        follower = Follower(self._sandbox, self.handle, clock=self._clock)
        while True:
            match await follower.step():
                case Ended(exited, offset):
                    break
                case Idle(seconds):
                    await self._mind_limits(self._clock() - started, seconds)
                    await self._pause()
                case lines:
                    for batch in self._take(lines):
                        yield batch
                    await self._after_result()
                    await self._mind_limits(self._clock() - started, 0.0)
        # One byte behind the end, where no line can be: what the end alone means is told once, too.
        if (last := self._translator.finish()) and offset + 1 > self._stored:
            yield Batch(tuple(last), offset + 1)
        self.report = self._conclude(exited)

    def interrupt(self, cut: Cut = Cut.STOPPED) -> None:
        """End it soon: it may finish its sentence, its tools are stopped, and then it is killed."""
        self._cut = self._cut or cut
        self._wake.set()

    async def steer(self, text: str) -> bool:
        """Give it another message. False when it is too late for that."""
        if not self._stdin_open or self._asked_to_end:
            return False
        await self._sandbox.write(self.handle, user_line(text))
        return True

    def _take(self, lines: list[Line]) -> Iterator[Batch]:
        for line in lines:
            events = self._translator.feed(line.content)
            if events and line.offset > self._stored:
                yield Batch(tuple(events), line.offset)

    async def _after_result(self) -> None:
        result = self._translator.facts.result
        if result is None or result.queued_turns or not self._stdin_open:
            return
        # The program waits for another message until its stdin is closed.
        self._stdin_open = False
        await self._sandbox.close_stdin(self.handle)
        self._kill_at = self._clock() + self._grace_seconds()

    async def _mind_limits(self, running_seconds: float, silent_seconds: float) -> None:
        now = self._clock()
        if self._cut is None:
            self._cut = self._limit_reached(running_seconds, silent_seconds)
        if self._cut and not self._asked_to_end:
            self._asked_to_end = True
            self._kill_at = now + self._grace_seconds()
            if self._cut is Cut.FOREIGN:
                self._kill_at = now
            elif self._stdin_open:
                await self._sandbox.write(self.handle, interrupt_line(_INTERRUPT_ID))
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            await self._sandbox.kill(self.handle)

    def _grace_seconds(self) -> float:
        stopped = self._cut is Cut.STOPPED
        return self._patience.stop_grace_seconds if stopped else self._patience.grace_seconds

    def _limit_reached(self, running_seconds: float, silent_seconds: float) -> Cut | None:
        if self._translator.facts.foreign:
            return Cut.FOREIGN
        if self._translator.facts.result is not None:
            return None
        if running_seconds > self._patience.wall_seconds:
            return Cut.TIMED_OUT
        if silent_seconds > self._patience.idle_seconds and not self._translator.tools_running:
            return Cut.IDLE
        return None

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _conclude(self, ended: Exited) -> Report:
        facts = self._translator.facts
        lingered = facts.result is not None and not self._stdin_open and self._kill_at is None
        exited = Exit(None if lingered else ended.code, ended.stderr.decode("utf-8", "replace"), ended.reason)
        return Report(
            conclude(facts, exited, self._cut),
            facts.session_id,
            facts.result.usage if facts.result else Usage(),
        )


async def launch(
    sandbox: Sandbox,
    box: SandboxId,
    order: Order,
    patience: Patience,
    *,
    name: str,
    clock: Callable[[], float],
    program: PurePosixPath = PROGRAM,
    todo: Todo | None = None,
) -> Agent:
    """Start the program under `name` and give it the prompt. `todo`: the list that a resumed session has."""
    handle = await sandbox.launch(box, argv(order, program), name=name, env=environment(order))
    await sandbox.write(handle, user_line(order.prompt))
    return Agent(sandbox, handle, patience, clock=clock, todo=todo)


def attach(
    sandbox: Sandbox,
    handle: Handle,
    patience: Patience,
    *,
    offset: int,
    clock: Callable[[], float],
    todo: Todo | None = None,
) -> Agent:
    """Go on listening after a restart of ours, to a program that ran on. `offset`: of the last stored batch."""
    return Agent(sandbox, handle, patience, clock=clock, offset=offset, todo=todo)


async def save_session(sandbox: Sandbox, box: SandboxId, session_id: str) -> bytes | None:
    """The session as an archive for `restore_session`; None when there is none yet.

    It stays opaque to us, since an agent could write it.
    """
    finished = await sandbox.run(
        box,
        ["sh", "-c", _PACK, "sh", str(CONFIG), str(_ARCHIVE), session_id],
        timeout_seconds=_ARCHIVE_SECONDS,
    )
    if finished.exit_code == _NOTHING_TO_PACK:
        return None
    _check(finished)
    return await sandbox.get(box, _ARCHIVE, limit_bytes=_ARCHIVE_LIMIT_BYTES)


async def restore_session(sandbox: Sandbox, box: SandboxId, archive: bytes) -> None:
    await sandbox.put(box, _ARCHIVE, archive)
    unpack = ["sh", "-c", _UNPACK, "sh", str(CONFIG), str(_ARCHIVE)]
    _check(await sandbox.run(box, unpack, timeout_seconds=_ARCHIVE_SECONDS))


def _check(finished: Finished) -> None:
    if finished.exit_code != 0 or finished.timed_out:
        said = finished.output[-500:].decode("utf-8", "replace")
        raise SandboxFailed(f"the agent's session could not be kept: exit {finished.exit_code} {said}")


def claude_program() -> Path:
    """The program that the extra `agent` ships. Raises ClaudeMissing."""
    found = importlib.util.find_spec("claude_agent_sdk")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "_bundled" / "claude"
        if program.is_file():
            return program
    raise ClaudeMissing
