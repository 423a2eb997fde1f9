"""GitHub's rate limits, kept per installation: when a call may go, and until when none may.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiolimiter import AsyncLimiter

from bot.github.failures import RateLimited
from bot.model import InstallationId

# A leaky bucket lets through at most its size plus what leaks in the window: 300 + 600 points a minute,
# 20 + 60 contents a minute, 100 + 400 contents an hour.
_POINTS = (300, 30)
_CONTENT_MINUTE = (20, 20)
_CONTENT_HOUR = (100, 900)
_CONCURRENT = 40
_BACKGROUND_SHARE = 0.75
_PRIMARY_RESERVE = 50
"""Calls of the hour that are left to urgent ones."""
_PATIENCE = timedelta(seconds=20)
"""A longer wait is the caller's to plan: it is raised."""
_SECONDARY_WAIT = timedelta(seconds=60)
_SECONDARY_WAIT_LONGEST = timedelta(minutes=16)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Weight:
    """What a call costs. `content`: it makes something that people may be notified of."""

    points: int = 1
    content: bool = False


READ = Weight()
WRITE = Weight(points=5)
CONTENT = Weight(points=5, content=True)


class _Buckets:
    def __init__(self, share: float) -> None:
        self.slots = asyncio.Semaphore(int(_CONCURRENT * share))
        self.points = AsyncLimiter(_POINTS[0] * share, _POINTS[1])
        self.content = tuple(AsyncLimiter(size * share, period) for size, period in (_CONTENT_MINUTE, _CONTENT_HOUR))


@dataclass
class _Standing:
    """One installation. Background calls pass their own, smaller buckets first, so that some is always left."""

    all: _Buckets = field(default_factory=lambda: _Buckets(1))
    background: _Buckets = field(default_factory=lambda: _Buckets(_BACKGROUND_SHARE))
    blocked_until: datetime = _LONG_AGO
    scarce_until: datetime = _LONG_AGO
    refusals_in_a_row: int = 0


class Limits:
    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._standings: dict[InstallationId, _Standing] = {}

    @asynccontextmanager
    async def slot(self, installation_id: InstallationId, weight: Weight, *, urgent: bool) -> AsyncIterator[None]:
        """Wait for the call's turn. Raises RateLimited when GitHub's own limit is further away than patience."""
        standing = self._standing(installation_id)
        async with AsyncExitStack() as held:
            for buckets in (standing.all,) if urgent else (standing.background, standing.all):
                await held.enter_async_context(buckets.slots)
                await self._pour(buckets, weight)
            await self._wait_for_github(standing, urgent=urgent)
            yield

    def learn(
        self, installation_id: InstallationId, *, status: int, headers: Mapping[str, str], message: str
    ) -> RateLimited | None:
        """Take note of an answer; returns the failure when the answer is a refusal by a rate limit."""
        standing = self._standing(installation_id)
        now = self._clock()
        remaining, reset = _number(headers, "x-ratelimit-remaining"), _number(headers, "x-ratelimit-reset")
        resets_at = datetime.fromtimestamp(reset, UTC) if reset is not None else None
        if remaining is not None and resets_at and remaining < _PRIMARY_RESERVE:
            standing.scarce_until = resets_at
        if not _is_limit(status, headers, message):
            if status < 400:
                standing.refusals_in_a_row = 0
            return None
        retry_after = _number(headers, "retry-after")
        if retry_after is not None:
            until = now + timedelta(seconds=retry_after)
        elif remaining == 0 and resets_at:
            until = resets_at
        else:
            wait = _SECONDARY_WAIT * 2**standing.refusals_in_a_row
            until = now + min(wait, _SECONDARY_WAIT_LONGEST)
        standing.refusals_in_a_row += 1
        standing.blocked_until = max(standing.blocked_until, until)
        return RateLimited(until, status=status)

    def worth_waiting(self, failure: RateLimited) -> bool:
        return failure.until - self._clock() <= _PATIENCE

    async def _pour(self, buckets: _Buckets, weight: Weight) -> None:
        wanted = [(buckets.points, weight.points), *((limiter, 1) for limiter in buckets.content if weight.content)]
        for limiter, amount in wanted:
            try:
                async with asyncio.timeout(_PATIENCE.total_seconds()):
                    await limiter.acquire(amount)
            except TimeoutError as exc:
                drop = timedelta(seconds=limiter.time_period / limiter.max_rate)
                raise RateLimited(self._clock() + drop) from exc

    async def _wait_for_github(self, standing: _Standing, *, urgent: bool) -> None:
        # Read again after each wait: another call may have learned of a later moment meanwhile.
        while (wait := (until := self._free_at(standing, urgent=urgent)) - self._clock()) > timedelta():
            if wait > _PATIENCE:
                raise RateLimited(until)
            await self._sleep(wait.total_seconds())

    def _free_at(self, standing: _Standing, *, urgent: bool) -> datetime:
        return standing.blocked_until if urgent else max(standing.blocked_until, standing.scarce_until)

    def _standing(self, installation_id: InstallationId) -> _Standing:
        return self._standings.setdefault(installation_id, _Standing())


def _is_limit(status: int, headers: Mapping[str, str], message: str) -> bool:
    """A secondary limit may come as a bare 403 that only its words tell from a missing permission."""
    if status == 429:
        return True
    if status != 403:
        return False
    return (
        "retry-after" in headers
        or headers.get("x-ratelimit-remaining") == "0"
        or "rate limit" in message.lower()
        or "abuse detection" in message.lower()
    )


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    return int(value) if value.isascii() and value.isdigit() else None
