"""GitHub's rate limits per installation or person: primary always, secondary and content on request. No I/O."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_WINDOW = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)

PRIMARY_PER_HOUR = 5000
POINTS_PER_MINUTE = 900
CONTENT_PER_MINUTE = 80
CONTENT_PER_HOUR = 500
_WRITE_POINTS = 5
"""https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api"""


@dataclass(frozen=True)
class Standing:
    limit: int
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-used": str(self.used),
            "x-ratelimit-reset": str(int(self.resets_at.timestamp())),
            "x-ratelimit-resource": "core",
        }


@dataclass
class _Account:
    started: datetime
    used: int = 0
    points: deque[tuple[datetime, int]] = field(default_factory=deque)
    content: deque[datetime] = field(default_factory=deque)


class Limits:
    def __init__(self, *, primary_per_hour: int = PRIMARY_PER_HOUR, secondary: bool = False) -> None:
        self.primary_per_hour = primary_per_hour
        self.secondary = secondary
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()

    def _account(self, who: str, now: datetime) -> _Account:
        account = self._accounts.setdefault(who, _Account(started=now))
        if now >= account.started + _WINDOW:
            account.started, account.used = now, 0
        return account

    def standing(self, who: str, now: datetime) -> Standing:
        with self._lock:
            account = self._account(who, now)
            return Standing(self.primary_per_hour, account.used, account.started + _WINDOW)

    def spend(self, who: str, now: datetime) -> bool:
        """Count one request against the primary limit; False when there is nothing left to spend."""
        with self._lock:
            account = self._account(who, now)
            if account.used >= self.primary_per_hour:
                return False
            account.used += 1
            return True

    def refund(self, who: str, now: datetime) -> None:
        """A 304 costs nothing."""
        with self._lock:
            account = self._account(who, now)
            account.used = max(0, account.used - 1)

    def secondary_wait(self, who: str, now: datetime, *, write: bool, content: bool) -> int | None:
        """Seconds to wait when a secondary limit is reached, else None after counting the request."""
        if not self.secondary:
            return None
        with self._lock:
            account = self._account(who, now)
            while account.points and account.points[0][0] <= now - _MINUTE:
                account.points.popleft()
            while account.content and account.content[0] <= now - _WINDOW:
                account.content.popleft()
            if content and len(account.content) >= CONTENT_PER_HOUR:
                return _seconds_until(account.content[0] + _WINDOW, now)
            if content and sum(at > now - _MINUTE for at in account.content) >= CONTENT_PER_MINUTE:
                return _seconds_until(account.content[-CONTENT_PER_MINUTE] + _MINUTE, now)
            cost = _WRITE_POINTS if write else 1
            if sum(points for _, points in account.points) + cost > POINTS_PER_MINUTE:
                return _seconds_until(account.points[0][0] + _MINUTE, now)
            account.points.append((now, cost))
            if content:
                account.content.append(now)
            return None


def _seconds_until(moment: datetime, now: datetime) -> int:
    return max(1, int((moment - now).total_seconds()) + 1)
