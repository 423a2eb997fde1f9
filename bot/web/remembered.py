"""Answers that are kept for a while, and asked for once however many want them."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bot.errors import BackspaceError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_MOST_KEPT = 10_000
_FAILURES_ARE_KEPT = timedelta(seconds=5)


@dataclass(frozen=True)
class _Kept(Generic[V]):
    answer: V | None
    until: datetime


class Remembered(Generic[K, V]):
    """None stands for no answer: the question failed, or nobody knew in time."""

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V | None]],
        *,
        life: timedelta,
        patience_seconds: float,
        at_once: asyncio.Semaphore,
        clock: Callable[[], datetime],
    ) -> None:
        """`patience_seconds`: how long a caller waits; the question goes on, and the next caller has its answer."""
        self._ask = ask
        self._life = life
        self._patience_seconds = patience_seconds
        self._at_once = at_once
        self._clock = clock
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[V | None]] = {}

    async def get(self, key: K) -> V | None:
        kept = self._kept.get(key)
        if kept is not None and kept.until > self._clock():
            self._kept.move_to_end(key)
            return kept.answer
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._learn(key))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        try:
            # Shielded: a caller that goes away must not take the answer from the others who wait for it.
            return await asyncio.wait_for(asyncio.shield(task), self._patience_seconds)
        except TimeoutError:
            return None

    async def _learn(self, key: K) -> V | None:
        answer, life = None, self._life
        try:
            async with self._at_once:
                asked_at = self._clock()
                answer = await self._ask(key)
        except BackspaceError:
            asked_at, life = self._clock(), _FAILURES_ARE_KEPT
        self._kept[key] = _Kept(answer, asked_at + life)
        self._kept.move_to_end(key)
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return answer
