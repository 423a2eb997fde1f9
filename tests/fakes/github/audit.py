"""Every request and answer held against GitHub's description, in a thread of its own, so that no caller waits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.shared_data import SHARED_DATA

DESCRIPTION = SHARED_DATA / "github" / "openapi-2026-03-10.json"
_QUIET_SECONDS = 0.05


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; `path` has one segment per parameter, and no API prefix."""

    method: str
    template: str
    path: str
    query: Mapping[str, str]
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    media: str
    answer_body: bytes


class Audit:
    """Checks while nobody calls, so that the callers of a busy moment do not share the processor with it.

    Without the description's file, or switched off, it has nothing against anything.
    """

    def __init__(self, path: Path = DESCRIPTION, *, enabled: bool = True) -> None:
        self._path = path
        self._enabled = enabled and path.is_file()
        self._condition = threading.Condition()
        self._waiting: deque[Exchange] = deque()
        self._latest = 0.0
        self._checking = False
        self._hurried = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._found: list[str] = []

    def submit(self, exchange: Exchange) -> None:
        if not self._enabled:
            return
        with self._condition:
            self._waiting.append(exchange)
            self._latest = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="github-audit", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def _work(self) -> None:
        try:
            self._check_all()
        except Exception as error:
            with self._condition:
                self._found.append(f"the audit itself failed: {error!r}")
                self._closed = True
                self._condition.notify_all()
            raise

    def _check_all(self) -> None:
        from tests.fakes.github.description import load  # noqa: PLC0415 # openapi-core takes longer than all the rest

        description = load(self._path)
        while exchange := self._next():
            problems = description.problems(exchange)
            with self._condition:
                self._found.extend(problems)
                self._checking = False
                self._condition.notify_all()

    def _next(self) -> Exchange | None:
        with self._condition:
            while not self._closed:
                quiet_at = self._latest + _QUIET_SECONDS
                left = 0.0 if self._hurried else quiet_at - time.monotonic()
                if self._waiting and left <= 0:
                    self._checking = True
                    return self._waiting.popleft()
                self._condition.wait(left if self._waiting else None)
            return None

    def problems(self) -> list[str]:
        """All so far; waits for what is still to be checked."""
        with self._condition:
            self._hurried += 1
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._closed or not (self._waiting or self._checking))
            self._hurried -= 1
            return list(self._found)

    def close(self) -> None:
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if self._thread:
            self._thread.join()
