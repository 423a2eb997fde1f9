"""The one writer of our tables in a process: a thread that commits what waits in groups."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import InterfaceError, OperationalError

from bot.errors import StoreUnavailable

T = TypeVar("T")
_GROUP_LIMIT = 64


@dataclass
class _Job:
    work: Callable[[sa.Connection], Any]
    future: "asyncio.Future[Any] | None"
    """None: nobody waits for it."""
    result: Any = None
    error: BaseException | None = None

    def settle(self) -> None:
        if self.future is None or self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Writer:
    """Each piece of work is a transaction of its own to its caller; several share one commit to the disk.

    A piece that raises is rolled back alone: the group is then done again piece by piece, so a piece must be safe
    to call again after a rollback. When the group cannot be committed every caller gets StoreUnavailable.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Job(work, future))
        return await future

    def note(self, work: Callable[[sa.Connection], object]) -> None:
        """The same for what nobody waits for: it may be lost."""
        self._jobs.put(_Job(work, None))

    def close(self) -> None:
        """Commit what was handed in so far, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            first = self._jobs.get()
            group: list[_Job] = []
            last = first is None
            if first is not None:
                group.append(first)
            while not last and len(group) < _GROUP_LIMIT:
                try:
                    job = self._jobs.get_nowait()
                except Empty:
                    break
                if job is None:
                    last = True
                else:
                    group.append(job)
            if group:
                self._commit(group)
                _settle(group)
            if last:
                return

    def _commit(self, group: list[_Job]) -> None:
        at_work = False
        try:
            with self._engine.begin() as connection:
                at_work = True
                for job in group:
                    job.result = job.work(connection)
                at_work = False
        except Exception as error:  # noqa: BLE001 -- the thread must live on; the callers are told
            if not at_work or isinstance(error, (OperationalError, InterfaceError)):
                for job in group:
                    job.error = StoreUnavailable(f"the database cannot be written: {type(error).__name__}")
                    job.error.__cause__ = error
            elif len(group) == 1:
                group[0].error = error
            else:
                # Savepoints would tell them apart at once, and cost every group what few need.
                for job in group:
                    self._commit([job])


def _settle(group: Sequence[_Job]) -> None:
    """Each loop is woken once, however many wait in it."""
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Job]] = defaultdict(list)
    for job in group:
        if job.future is not None:
            by_loop[job.future.get_loop()].append(job)
    for loop, jobs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle_all, jobs)


def _settle_all(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.settle()
