"""Rows that many ask for at once are read together: one query for all who came while the one before was under way."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

from bot.errors import StoreUnavailable

V = TypeVar("V")


class Gathered(Generic[V]):
    """Nobody is given what was read before they asked."""

    def __init__(self, read: Callable[[Collection[str]], Awaitable[Mapping[str, V]]]) -> None:
        self._read = read
        self._asked: dict[str, asyncio.Future[V | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def get(self, name: str) -> V | None:
        """None when it is not there. Raises StoreUnavailable."""
        future = self._asked.get(name)
        if future is None:
            future = self._asked[name] = asyncio.get_running_loop().create_future()
            # Everyone who waits may have gone away.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._reading is None:
            self._reading = asyncio.create_task(self._serve())
        return await asyncio.shield(future)

    async def _serve(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    await self._answer(asked)
                finally:
                    for future in asked.values():
                        future.cancel()
        finally:
            self._reading = None

    async def _answer(self, asked: Mapping[str, "asyncio.Future[V | None]"]) -> None:
        try:
            found = await self._read(asked.keys())
        except StoreUnavailable as error:
            for future in asked.values():
                future.set_exception(error)
        else:
            for name, future in asked.items():
                future.set_result(found.get(name))
