"""Tells waiting readers in this process that a run has news."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from bot.model import RunId


class Changes:
    """Hints, not truth: a reader reads the store after each, and now and then without one."""

    def __init__(self) -> None:
        self._by_run: defaultdict[RunId, set[asyncio.Event]] = defaultdict(set)
        self._all: set[asyncio.Event] = set()

    def notify(self, run_id: RunId) -> None:
        for event in self._by_run.get(run_id, set()) | self._all:
            event.set()

    @contextmanager
    def of(self, run_id: RunId) -> Iterator[asyncio.Event]:
        """An event that is set whenever the run has news."""
        event = asyncio.Event()
        self._by_run[run_id].add(event)
        try:
            yield event
        finally:
            self._by_run[run_id].discard(event)
            if not self._by_run[run_id]:
                del self._by_run[run_id]

    @contextmanager
    def any(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever any run has news."""
        event = asyncio.Event()
        self._all.add(event)
        try:
            yield event
        finally:
            self._all.discard(event)
