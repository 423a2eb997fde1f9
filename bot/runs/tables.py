"""The database as our stores use it: writes in one thread, in groups; reads beside them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from bot.errors import StoreUnavailable
from bot.runs.writer import Writer

T = TypeVar("T")
_READERS = 4


class Tables:
    """`write` and `read` raise StoreUnavailable when the database cannot be used."""

    def __init__(self, writing: sa.Engine, reading: sa.Engine) -> None:
        self._writer = Writer(writing)
        self._reading = reading
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    def close(self) -> None:
        self._writer.close()
        self._threads.shutdown()

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction; it may run again, from the start, when a neighbour in its group fails."""
        return await self._writer.write(work)

    def note(self, work: Callable[[sa.Connection], object]) -> None:
        """The same for what nobody waits for: it may be lost."""
        self._writer.note(work)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        def go() -> T:
            try:
                with self._reading.connect() as connection:
                    return work(connection)
            except DBAPIError as error:
                raise StoreUnavailable(f"the database cannot be read: {type(error).__name__}") from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, go)
