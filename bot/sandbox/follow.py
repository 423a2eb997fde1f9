"""Whole lines of a launched program's output, each with the byte offset after it.

An offset stored with what its line meant is where a restarted reader goes on. Lines of any length and cuts at any
byte are fine; the end is reported once the program has ended and everything that it printed was read.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from bot.sandbox import Exited, Handle, Running

_POLL_SECONDS = 0.03


@dataclass(frozen=True)
class Line:
    """Without its newline. `offset` is the byte after it."""

    content: bytes
    offset: int


@dataclass(frozen=True)
class Ended:
    """All was read. `offset` is the end of the last whole line."""

    exited: Exited
    offset: int


@dataclass(frozen=True)
class Idle:
    """Nothing new. `seconds` since the program last printed anything, or since following began."""

    seconds: float


class Source(Protocol):
    """The part of a Sandbox that is needed to follow."""

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = ...) -> bytes: ...

    async def status(self, handle: Handle) -> Running | Exited: ...


class Follower:
    """The hand crank: `step` looks once."""

    def __init__(self, source: Source, handle: Handle, *, offset: int = 0, clock: Callable[[], float]) -> None:
        """`clock` in seconds, monotonic."""
        self._source = source
        self._handle = handle
        self._clock = clock
        self._line_offset = offset
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._last_news = clock()

    async def step(self) -> list[Line] | Idle | Ended:
        """The lines that are complete now, possibly none of a chunk that has no line's end."""
        # Asked before reading: what a program printed is there before its end is.
        status = await self._source.status(self._handle)
        chunk = await self._source.read(self._handle, self._line_offset + self._parts_bytes)
        if chunk:
            self._last_news = self._clock()
            return self._lines(chunk)
        if not isinstance(status, Exited):
            return Idle(self._clock() - self._last_news)
        if self._parts:
            return [self._complete(b"")]
        return Ended(status, self._line_offset)

    def _lines(self, chunk: bytes) -> list[Line]:
        *ended, rest = chunk.split(b"\n")
        lines = [self._complete(end, newline=1) for end in ended]
        if rest:
            self._parts.append(rest)
            self._parts_bytes += len(rest)
        return lines

    def _complete(self, end: bytes, *, newline: int = 0) -> Line:
        content = b"".join((*self._parts, end))
        self._line_offset += len(content) + newline
        self._parts.clear()
        self._parts_bytes = 0
        return Line(content, self._line_offset)


async def follow(
    follower: Follower,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    poll_seconds: float = _POLL_SECONDS,
) -> AsyncIterator[Line | Idle | Ended]:
    """Every line as it comes; Idle at each look that found nothing; Ended as the last."""
    while True:
        match await follower.step():
            case Ended() as ended:
                yield ended
                return
            case Idle() as idle:
                yield idle
                await sleep(poll_seconds)
            case lines:
                for line in lines:
                    yield line
