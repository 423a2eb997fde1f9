"""Runs that programs ask for begin in groups: of many who ask at once none pays for the statements of all others."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot.errors import StoreUnavailable
from bot.events import StoredEvent
from bot.model import RunId
from bot.runs.lifecycle import Lifecycle, NewRun
from bot.runs.rates import Quota, Rates
from bot.runs.records import Accepted, Duplicate
from bot.runs.tables import Tables

_ANSWERS_FIRST_SECONDS = 0.1
Started = Accepted | Duplicate | timedelta
"""A wait: the quota is used up for so long."""


@dataclass(frozen=True)
class _Wish:
    new: NewRun
    now: datetime
    quota: Quota | None
    answer: "asyncio.Future[Started]"


class Starts:
    """Raises StoreUnavailable."""

    def __init__(self, tables: Tables, life: Lifecycle, rates: Rates, *, told: Callable[..., None]) -> None:
        """`told` hears of the runs that have begun, once all who asked with them are answered."""
        self._tables = tables
        self._life = life
        self._rates = rates
        self._told = told
        self._asked: list[_Wish] = []
        self._at_work: asyncio.Task[None] | None = None
        self._untold: list[RunId] = []

    async def start(self, new: NewRun, now: datetime, quota: Quota | None) -> Started:
        """A run that no delivery brings, in one transaction with what it takes of the quota."""
        answer: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        # Everyone who waits may have gone away.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._asked.append(_Wish(new, now, quota, answer))
        if self._at_work is None:
            self._at_work = asyncio.create_task(self._serve())
        return await answer

    def opening(self, new: NewRun, now: datetime) -> StoredEvent:
        """The first event of what `start` has accepted, for whom reading it back would take too long."""
        return self._life.opening(new, now)

    async def _serve(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                try:
                    await self._begin(asked)
                finally:
                    for wish in asked:
                        wish.answer.cancel()
        finally:
            self._at_work = None

    async def _begin(self, asked: Sequence[_Wish]) -> None:
        try:
            answers = await self._tables.write(lambda c: self._write(c, asked))
        except StoreUnavailable as error:
            for wish in asked:
                _fail(wish, error)
        except Exception as error:  # noqa: BLE001 -- it may be the fault of one of them, and each is told its own
            if len(asked) == 1:
                _fail(asked[0], error)
                return
            for wish in asked:
                await self._begin([wish])
        else:
            for wish, answer in zip(asked, answers, strict=True):
                if not wish.answer.done():
                    wish.answer.set_result(answer)
            self._tell_later([answer.run_id for answer in answers if isinstance(answer, Accepted)])

    def _write(self, c: sa.Connection, asked: Sequence[_Wish]) -> list[Started]:
        waits = self._rates.take_all(c, [wish.quota for wish in asked])
        begun = iter(
            self._life.start_all(
                c, [(wish.new, wish.now) for wish, wait in zip(asked, waits, strict=True) if wait is None]
            )
        )
        return [wait if wait is not None else next(begun) for wait in waits]

    def _tell_later(self, run_ids: Sequence[RunId]) -> None:
        """All who ask at once are answered before the work for the first of them gets in their way."""
        if run_ids and not self._untold:
            asyncio.get_running_loop().call_later(_ANSWERS_FIRST_SECONDS, self._tell)
        self._untold += run_ids

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        self._told(*untold)


def _fail(wish: _Wish, error: Exception) -> None:
    if not wish.answer.done():
        wish.answer.set_exception(error)
