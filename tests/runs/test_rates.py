"""Rates: nobody gets more than the most of any window, whichever process they ask."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from bot.runs.rates import Quota, Rates
from bot.runs.schema import rate_windows
from bot.runs.tables import Tables
from tests.runs.conftest import opened

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


async def taken(rates: Rates, name: str, most: int, tries: int) -> int:
    answers = [await rates.take(Quota(name, most, HOUR)) for _ in range(tries)]
    return answers.count(None)


async def test_the_most_are_taken_and_no_more(tables: Tables) -> None:
    rates = Rates(tables, Clock())
    assert await taken(rates, "key:1", 5, 8) == 5
    assert await taken(rates, "key:2", 5, 8) == 5
    assert await taken(rates, "key:3", 0, 2) == 0


async def test_who_waits_as_long_as_told_gets_one_and_who_waits_less_gets_none(tables: Tables) -> None:
    clock = Clock(NOON + 30 * MINUTE)
    rates = Rates(tables, clock)
    await taken(rates, "key:1", 5, 5)
    for _ in range(12):
        wait = await rates.take(Quota("key:1", 5, HOUR))
        assert wait is not None
        clock.now += wait - timedelta(seconds=1)
        assert await rates.take(Quota("key:1", 5, HOUR)) is not None
        clock.now += timedelta(seconds=2)
        assert await rates.take(Quota("key:1", 5, HOUR)) is None


async def test_the_turn_of_a_window_gives_nobody_twice_the_rate(tables: Tables) -> None:
    clock = Clock(NOON + 59 * MINUTE)
    rates = Rates(tables, clock)
    assert await taken(rates, "key:1", 60, 100) == 60
    clock.now = NOON + 61 * MINUTE
    assert await taken(rates, "key:1", 60, 100) == 1
    clock.now = NOON + 3 * HOUR
    assert await taken(rates, "key:1", 60, 100) == 60


async def test_processes_count_together(database_url: str) -> None:
    with opened(database_url) as one, opened(database_url) as other:
        clock = Clock()
        both = [Rates(one, clock), Rates(other, clock)]
        answers = await asyncio.gather(*(both[turn % 2].take(Quota("key:1", 7, HOUR)) for turn in range(20)))
    assert answers.count(None) == 7


async def test_old_windows_are_swept(tables: Tables) -> None:
    clock = Clock()
    rates = Rates(tables, clock)
    await rates.take(Quota("gone", 5, HOUR))
    for _ in range(72):
        clock.now += HOUR
        await rates.take(Quota("key:1", 5, HOUR))
    rows = await tables.read(lambda c: c.execute(sa.select(rate_windows.c.name)).scalars().all())
    assert rows.count("key:1") <= 3
    assert "gone" not in rows
