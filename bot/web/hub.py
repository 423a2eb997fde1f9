"""One reader of a run's event log per process, however many watch; what it reads is fanned out in memory."""

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from bot.errors import StoreUnavailable
from bot.events import Complete, StoredEvent
from bot.model import RunId
from bot.runs.store import Store
from bot.web import sse

KEEP_ALIVE_SECONDS = 15.0
_POLL_SECONDS = 1.0
"""Other processes ring no bell here."""
_PAGE = 200
_LEAD = 100
"""So many events before the first watcher's place are read, too: others come back at about the same place."""
_BREATH_SECONDS = 0.05
_NEW_SECONDS = 0.1
"""A new run is first read after so long, or when it has news: others who ask at once are answered before."""
_CATCHING_UP_AT_ONCE = 2
"""Watchers that read the store for themselves; requests need its readers as well."""

log = structlog.get_logger("bot.web.hub")


@dataclass(frozen=True)
class Bounds:
    """How far a watcher may fall behind: what is kept in memory of each watched run."""

    events: int = 2_000
    size_bytes: int = 2 * 1024**2


@dataclass(frozen=True)
class Frame:
    """An event, and the bytes of it that all watchers share."""

    stored: StoredEvent
    data: bytes


class _Channel:
    """The tail of one run's log, in memory, as long as somebody watches."""

    def __init__(self, run_id: RunId, after: int, bounds: Bounds) -> None:
        self.run_id = run_id
        self.before = after
        """The events up to this one are not here, or no more."""
        self.last = after
        """The latest event that was read."""
        self.whole = False
        """Whether the tail goes up to the end of the log, as far as that was written when it was last read."""
        self.over = False
        """Nothing comes any more."""
        self.beats = 0
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None
        self._bounds = bounds
        self._frames: list[Frame] = []
        self._size_bytes = 0
        self._news = asyncio.Event()

    def add(self, frames: Sequence[Frame], *, whole: bool) -> None:
        self.whole = whole
        if not frames:
            return
        self._frames += frames
        self._size_bytes += sum(len(frame.data) for frame in frames)
        self.last = frames[-1].stored.seq
        self.over = self.over or isinstance(frames[-1].stored.event, Complete)
        self._trim(latest=len(frames))

    def _trim(self, latest: int) -> None:
        """The latest ones stay whatever their size: who keeps up must get to see them."""
        bounds = self._bounds
        if len(self._frames) <= bounds.events and self._size_bytes <= bounds.size_bytes:
            return
        cut, most = 0, len(self._frames) - latest
        # A quarter at a time: the list is moved seldom.
        while cut < most and (
            len(self._frames) - cut > bounds.events * 3 // 4 or self._size_bytes > bounds.size_bytes * 3 // 4
        ):
            self._size_bytes -= len(self._frames[cut].data)
            cut += 1
        if cut:
            self.before = self._frames[cut - 1].stored.seq
            del self._frames[:cut]

    def after(self, seq: int) -> list[Frame]:
        return self._frames[bisect_right(self._frames, seq, key=lambda frame: frame.stored.seq) :]

    def tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def news(self) -> None:
        await self._news.wait()

    def end(self) -> None:
        self.over = True
        self.tell()


class Watcher:
    """Every event of a run after one of them, once and in order, up to `complete`."""

    def __init__(self, hub: "Hub", channel: _Channel, after: int) -> None:
        self._hub = hub
        self._channel = channel
        self._after = after
        self._kept_up = False
        self.dropped = False
        """It was too slow: what came meanwhile is no more in memory. It may come back and go on behind its place."""

    async def frames(self) -> list[Frame] | None:
        """The next ones, as many as there are; none as a sign of life; None when that was all."""
        channel, beats = self._channel, self._channel.beats
        while not self._hub.closed:
            if self._after < channel.before:
                if self._kept_up:
                    self.dropped = True
                    return None
                found = await self._hub.catch_up(channel.run_id, self._after)
            else:
                found = channel.after(self._after)
                self._kept_up = self._kept_up or channel.whole
            if found:
                self._after = found[-1].stored.seq
                return found
            if channel.over:
                return None
            if channel.beats != beats:
                return []
            await channel.news()
        return None

    def __aiter__(self) -> AsyncIterator[StoredEvent]:
        return self._events()

    async def _events(self) -> AsyncIterator[StoredEvent]:
        while (found := await self.frames()) is not None:
            for frame in found:
                yield frame.stored


class Hub:
    """Each watched run is read by one task, which ends with its last watcher."""

    def __init__(
        self, store: Store, *, bounds: Bounds | None = None, keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    ) -> None:
        self._store = store
        self._bounds = bounds or Bounds()
        self._keep_alive_seconds = keep_alive_seconds
        self._channels: dict[RunId, _Channel] = {}
        self._catching_up = asyncio.Semaphore(_CATCHING_UP_AT_ONCE)
        self.closed = False

    @property
    def watched(self) -> int:
        """Runs that are read just now."""
        return len(self._channels)

    def close(self) -> None:
        """End every stream, now and from now on; the watchers go on behind their place elsewhere."""
        self.closed = True
        for channel in self._channels.values():
            channel.end()

    @asynccontextmanager
    async def watch(self, run_id: RunId, after: int, *, new: bool = False) -> AsyncIterator[Watcher]:
        """The run has to be there. `new`: it was begun just now, and hardly anything is behind `after`.

        Raises StoreUnavailable, also while the watcher catches up with what only the store has.
        """
        channel = self._channels.get(run_id) or await self._open(run_id, after, new=new)
        channel.watchers += 1
        try:
            yield Watcher(self, channel, after)
        finally:
            channel.watchers -= 1
            if not channel.watchers:
                self._forget(channel)
                if channel.task is not None:
                    channel.task.cancel()

    async def _open(self, run_id: RunId, after: int, *, new: bool) -> _Channel:
        first = after - _LEAD
        if first > 0:
            # `after` may lie behind the end.
            run = await self._store.run(run_id)
            first = min(first, run.last_seq - _LEAD if run else 0)
            if run_id in self._channels:
                return self._channels[run_id]
        channel = _Channel(run_id, max(0, first), self._bounds)
        if self.closed:
            channel.end()
            return channel
        self._channels[run_id] = channel
        channel.task = asyncio.create_task(self._read(channel, new=new))
        channel.task.add_done_callback(lambda task: self._done(channel, task))
        return channel

    def _done(self, channel: _Channel, task: "asyncio.Task[None]") -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("hub.reader_failed", run=channel.run_id, error=type(error).__name__, exc_info=error)
        # Whoever comes back is read for anew.
        self._forget(channel)
        channel.end()

    def _forget(self, channel: _Channel) -> None:
        if self._channels.get(channel.run_id) is channel:
            del self._channels[channel.run_id]

    async def _read(self, channel: _Channel, *, new: bool) -> None:
        clock = asyncio.get_running_loop().time
        next_beat = clock() + self._keep_alive_seconds
        with self._store.changes.of(channel.run_id) as bell:
            if new:
                await _rung(bell, _NEW_SECONDS)
            while True:
                bell.clear()
                found: list[Frame] = []
                try:
                    found = await self._page(channel.run_id, channel.last)
                except StoreUnavailable as error:
                    log.warning("store.unavailable", error=str(error))
                else:
                    channel.add(found, whole=len(found) < _PAGE)
                if clock() >= next_beat:
                    next_beat = clock() + self._keep_alive_seconds
                    channel.beats += 1
                    channel.tell()
                elif found:
                    channel.tell()
                if channel.over:
                    return
                if len(found) < _PAGE:
                    # What is written in bursts is told in one go.
                    await asyncio.sleep(_BREATH_SECONDS if found else 0)
                    await _rung(bell, min(_POLL_SECONDS, max(0.0, next_beat - clock())))

    async def catch_up(self, run_id: RunId, after: int) -> list[Frame]:
        """For one watcher who is behind what is in memory."""
        async with self._catching_up:
            return await self._page(run_id, after)

    async def _page(self, run_id: RunId, after: int) -> list[Frame]:
        stored = await self._store.events_after(run_id, after, limit=_PAGE)
        return [Frame(one, sse.frame(one)) for one in stored]


async def _rung(bell: asyncio.Event, most_seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_seconds):
            await bell.wait()
