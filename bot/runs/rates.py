"""How often something may be done in a window of time, counted by all processes together."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.runs.schema import rate_windows
from bot.runs.tables import Tables

_SWEPT_AFTER = timedelta(days=2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Built once: putting such a statement together costs several times what running it costs.
_COUNTS = (
    sa.select(rate_windows.c.starts_at, rate_windows.c.count.label("taken"))
    .where(rate_windows.c.name == sa.bindparam("of"))
    .with_for_update()
)
_TAKE = (
    sa.update(rate_windows)
    .where(rate_windows.c.name == sa.bindparam("of"), rate_windows.c.starts_at == sa.bindparam("at"))
    .values(count=sa.bindparam("taken"))
)


@dataclass(frozen=True)
class Quota:
    """A name always comes with the same window, of a day at most."""

    name: str
    most: int
    window: timedelta


class Rates:
    """Raises StoreUnavailable."""

    def __init__(self, tables: Tables, clock: Callable[[], datetime]) -> None:
        self._tables = tables
        self._clock = clock

    async def take(self, quota: Quota) -> timedelta | None:
        """None: taken; else how long to wait until another try can succeed."""
        return await self._tables.write(lambda c: self.take_all(c, [quota])[0])

    def take_all(self, c: sa.Connection, quotas: Sequence[Quota | None]) -> list[timedelta | None]:
        """The same of each, within the caller's transaction; what has no quota is free."""
        waits: list[timedelta | None] = [None] * len(quotas)
        # In one order everywhere: processes that wait for each other's names would else wait for ever.
        for quota, asked in sorted(
            Counter(quota for quota in quotas if quota).items(), key=lambda entry: entry[0].name
        ):
            granted, wait = self._take(c, quota, asked)
            places = [place for place, other in enumerate(quotas) if other == quota]
            for place in places[granted:]:
                waits[place] = wait
        return waits

    def _take(self, c: sa.Connection, quota: Quota, asked: int) -> tuple[int, timedelta | None]:
        """How many were taken, and how long to wait for more.

        What was taken in the window before counts with the share of it that is not yet a window's length ago, so
        that nobody gets twice the rate at the turn of a window.
        """
        now, name, window = self._clock(), quota.name, quota.window
        start = _EPOCH + (now - _EPOCH) // window * window
        # The row is made before it is read: processes that ask at once wait for each other on it.
        c.execute(_insert_new(c.dialect.name), {"name": name, "starts_at": start, "count": 0})
        counts = {row.starts_at: row.taken for row in c.execute(_COUNTS, {"of": name})}
        # The clock of another process may be in the next window already.
        present = counts[start] + counts.get(start + window, 0)
        before, elapsed = counts.get(start - window, 0), (now - start) / window
        granted = 0
        while granted < asked and (wait := _wait(before, present + granted, quota.most, elapsed)) is None:
            granted += 1
        if granted:
            if present == 0:
                c.execute(_sweeping(name, start - window, now - _SWEPT_AFTER))
            c.execute(_TAKE, {"of": name, "at": start, "taken": counts[start] + granted})
        return granted, None if wait is None else wait * window


def _sweeping(name: str, of_name: datetime, of_all: datetime) -> sa.Delete:
    """What is older: names that nobody uses any more have nobody else to sweep them."""
    old = (rate_windows.c.name == name) & (rate_windows.c.starts_at < of_name)
    return sa.delete(rate_windows).where(old | (rate_windows.c.starts_at < of_all))


def _wait(before: int, present: int, most: int, elapsed: float) -> float | None:
    """In windows; None when there is room for one more. `elapsed`: of the present window."""
    if before * (1 - elapsed) + present + 1 <= most:
        return None
    if most < 1:
        return 1.0
    if present + 1 <= most:
        return max(1 - (most - 1 - present) / before - elapsed, 0.0)
    # The present window is full by itself: in the next one it is the window before.
    return 1 - elapsed + max(1 - (most - 1) / present, 0.0)


@cache
def _insert_new(dialect: str) -> Any:  # noqa: ANN401 -- two dialects' statements, which share no type
    make = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return make(rate_windows).on_conflict_do_nothing()
