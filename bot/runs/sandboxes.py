"""The sandboxes that are paid for, and the agents at work in them: what a restart of ours must find again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from bot.model import RunId
from bot.runs.schema import agents, sandboxes
from bot.runs.tables import Tables

_HOUR = timedelta(hours=1)
_RUN_ID_CHARACTERS = 36


@dataclass(frozen=True)
class Working:
    """An agent that was launched and whose work was not kept yet."""

    job: str
    told: bool
    """Whether it surely has its prompt."""
    offset: int
    """The byte of its output behind the last event that is stored."""


@dataclass(frozen=True)
class Kept:
    """A sandbox that exists as far as we know."""

    key: str
    created_at: datetime


def run_of(key: str) -> RunId:
    """A sandbox is named by its run, or after it."""
    return RunId(key[:_RUN_ID_CHARACTERS])


class Counts(Protocol):
    """Who is told of them as they come and go."""

    def sandbox_made(self, living: int) -> None: ...

    def sandbox_ended(self, living: int, *, seconds: float, usd: float) -> None: ...

    def sandbox_lost(self) -> None: ...

    def sandboxes_living(self, living: int) -> None: ...


class Sandboxes:
    """All methods raise StoreUnavailable."""

    def __init__(self, tables: Tables, clock: Callable[[], datetime], counts: Counts) -> None:
        self._tables = tables
        self._clock = clock
        self._counts = counts

    async def opens(self, key: str, usd_per_hour: float) -> None:
        """Before it is made. One of that name goes."""
        now = self._clock()
        await self.ended(key)

        def work(c: sa.Connection) -> int:
            c.execute(
                sa.insert(sandboxes).values(key=key, run_id=run_of(key), created_at=now, usd_per_hour=usd_per_hour)
            )
            if key == run_of(key):
                c.execute(sa.delete(agents).where(agents.c.run_id == key))
            return _living(c)

        self._counts.sandbox_made(await self._tables.write(work))

    async def furnished(self, key: str) -> None:
        now = self._clock()
        await self._write(sa.update(sandboxes).where(_open(key)).values(furnished_at=now))

    async def ended(self, key: str) -> None:
        """It is gone, or about to go. One that is not open is no error."""
        now = self._clock()
        found = sa.select(sandboxes).where(_open(key))

        def work(c: sa.Connection) -> tuple[Any, int]:
            row = c.execute(found).first()
            if row is not None:
                c.execute(sa.update(sandboxes).where(sandboxes.c.id == row.id).values(ended_at=now))
            return row, _living(c)

        row, living = await self._tables.write(work)
        if row is not None:
            seconds = (now - row.created_at).total_seconds()
            self._counts.sandbox_ended(living, seconds=seconds, usd=_usd(row, now))

    async def lost(self, key: str) -> None:
        """It is of no use any more, whether or not it is gone."""
        self._counts.sandbox_lost()
        await self._write(sa.update(sandboxes).where(_open(key)).values(furnished_at=None))

    async def is_furnished(self, key: str) -> bool:
        query = sa.select(sandboxes.c.key).where(_open(key), sandboxes.c.furnished_at.is_not(None))
        return await self._tables.read(lambda c: c.execute(query).first() is not None)

    async def open(self, run_id: RunId | None = None) -> list[Kept]:
        """Of that run, or all."""
        query = sa.select(sandboxes.c.key, sandboxes.c.created_at).where(sandboxes.c.ended_at.is_(None))
        if run_id is not None:
            query = query.where(sandboxes.c.run_id == run_id)
        found = await self._tables.read(lambda c: [Kept(row.key, row.created_at) for row in c.execute(query)])
        if run_id is None:
            self._counts.sandboxes_living(len(found))
        return found

    async def usd(self, run_id: RunId) -> float:
        """What the run's sandboxes cost, up to now for those that are there still."""
        query = sa.select(sandboxes).where(sandboxes.c.run_id == run_id)
        now = self._clock()
        rows = await self._tables.read(lambda c: list(c.execute(query)))
        return sum(_usd(row, now) for row in rows)

    # The agent in the run's own sandbox

    async def launching(self, run_id: RunId, job: str) -> None:
        """Before it is started, so that it is never at work unknown to us."""

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(agents).where(agents.c.run_id == run_id))
            c.execute(sa.insert(agents).values(run_id=run_id, job=job, told=False, byte_offset=0))

        await self._tables.write(work)

    async def told(self, run_id: RunId) -> None:
        await self._write(sa.update(agents).where(agents.c.run_id == run_id).values(told=True))

    async def working(self, run_id: RunId) -> Working | None:
        query = sa.select(agents).where(agents.c.run_id == run_id)

        def work(c: sa.Connection) -> Working | None:
            row = c.execute(query).first()
            return Working(row.job, row.told, row.byte_offset) if row else None

        return await self._tables.read(work)

    async def done(self, run_id: RunId) -> None:
        """Its work is kept."""
        await self._write(sa.delete(agents).where(agents.c.run_id == run_id))

    async def _write(self, statement: sa.Executable) -> None:
        def work(c: sa.Connection) -> None:
            c.execute(statement)

        await self._tables.write(work)


def heard(c: sa.Connection, run_id: RunId, offset: int) -> None:
    """With the events that were said up to there, in their transaction."""
    c.execute(sa.update(agents).where(agents.c.run_id == run_id).values(byte_offset=offset))


def _living(c: sa.Connection) -> int:
    return c.execute(sa.select(sa.func.count()).where(sandboxes.c.ended_at.is_(None))).scalar_one()


def _usd(row: Any, now: datetime) -> float:  # noqa: ANN401 -- a row
    return float(((row.ended_at or now) - row.created_at) / _HOUR * row.usd_per_hour)


def _open(key: str) -> sa.ColumnElement[bool]:
    return sa.and_(sandboxes.c.key == key, sandboxes.c.ended_at.is_(None))
