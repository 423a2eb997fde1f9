"""What reached the stand-in, and what was wrong with it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.fakes.github.faults import Fault


@dataclass(frozen=True)
class Logged:
    method: str
    path: str
    """Behind the API prefix for `api`, whole for the rest."""
    status: int
    """0 when the connection was dropped."""
    kind: str
    """`api`, `git`, `page` or `control`."""
    route: str
    """`METHOD /path/{of}/{the}/operation`; empty outside the API, and where a fault came first."""
    caller: str
    fault: Fault | None


class Log:
    def __init__(self) -> None:
        self._condition = threading.Condition()
        self.requests: list[Logged] = []
        self.problems: list[str] = []

    def add(
        self,
        method: str,
        path: str,
        status: int,
        kind: str,
        *,
        route: str = "",
        caller: str = "",
        fault: Fault | None = None,
    ) -> None:
        with self._condition:
            self.requests.append(Logged(method, path, status, kind, route, caller, fault))
            self._condition.notify_all()

    def problem(self, words: str) -> None:
        with self._condition:
            self.problems.append(words)

    def changed(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def wait_until(self, fact: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        """Look again whenever something reached the stand-in. Raises TimeoutError."""
        ends = time.monotonic() + timeout_seconds
        with self._condition:
            while not fact():
                left = ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"not within {timeout_seconds} s: {what}")
                self._condition.wait(min(left, 0.25))

    async def until(self, fact: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        await asyncio.to_thread(self.wait_until, fact, timeout_seconds, what)
