"""GitHub's rate limits, kept per installation: when a call may go, what goes first, and until when nothing may.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum

from bot.github.failures import RateLimited
from bot.model import InstallationId

# A little longer than GitHub's own: a call is counted there later than it is here.
_MINUTE = timedelta(seconds=62)
_HOUR = timedelta(seconds=3630)
_POINTS_PER_MINUTE = 860
"""Of GitHub's 900."""
_BACKGROUND_POINTS_PER_MINUTE = 750
_EDITS_PER_MINUTE = 55
"""Of all comments together, whatever they tell."""
_PROGRESS_AT_ONCE = 40
_PROGRESS_PAUSE = timedelta(seconds=13)
"""Between two edits that tell progress, once so many were made within the hour."""
_UNINVITED_PER_MINUTE = 40
_UNINVITED_PER_HOUR = 330
"""Below these many pieces of content, of all kinds together, goes what nobody asked for."""
_CONCURRENT = 40
_BACKGROUND_CONCURRENT = 30
_PRIMARY_RESERVE = 50
"""Calls of the hour that are left to urgent ones."""
_PATIENCE = timedelta(seconds=20)
"""A longer wait is the caller's to plan: it is raised."""
_BACKGROUND_PATIENCE = timedelta(seconds=90)
"""Long enough for any limit of a minute: a run is not to fail because others were busy."""
_SECONDARY_WAIT = timedelta(seconds=60)
_SECONDARY_WAIT_LONGEST = timedelta(minutes=16)

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Content(Enum):
    """What is written where people see it, in the order in which it goes when not all of it may.

    With each: below how many pieces in the last minute and hour, of all three together, it goes. GitHub allows 80
    and 500. As the numbers fall, what comes later never takes the room of what comes first.
    """

    ANSWER = (76, 485)
    """First words to somebody who asked."""
    OUTCOME = (70, 470)
    """How a run ended; its pull request."""
    PROGRESS = (46, 430)
    """How a run goes. Whoever edits may as well leave it out: the next edit tells it, too."""

    def __init__(self, per_minute: int, per_hour: int) -> None:
        self.per_minute = per_minute
        self.per_hour = per_hour


@dataclass(frozen=True)
class Weight:
    """What a call costs. `content`: it is something that people may be notified of."""

    points: int = 1
    content: Content | None = None
    edit: bool = False
    """Of a comment. Whether GitHub counts it as content is unknown; here it is."""
    uninvited: bool = False
    """Nobody asked for it, so it takes no room that people's runs may need."""


READ = Weight()
WRITE = Weight(points=5)
FIRST_WORDS = Weight(points=5, content=Content.ANSWER)
CONTENT = Weight(points=5, content=Content.OUTCOME)
UNINVITED = Weight(points=5, content=Content.PROGRESS, uninvited=True)


def edit(content: Content) -> Weight:
    return Weight(points=5, content=content, edit=True)


class _Window:
    """What was spent lately."""

    def __init__(self, span: timedelta) -> None:
        self._span = span
        self._spent: deque[tuple[datetime, int]] = deque()
        self.total = 0

    def add(self, amount: int, now: datetime) -> None:
        self._spent.append((now, amount))
        self.total += amount

    def free_at(self, amount: int, most: int, now: datetime) -> datetime:
        """When `amount` more makes no more than `most`."""
        while self._spent and self._spent[0][0] <= now - self._span:
            self.total -= self._spent.popleft()[1]
        excess, at = self.total + amount - most, now
        for spent_at, spent in self._spent:
            if excess <= 0:
                return at
            excess, at = excess - spent, spent_at + self._span
        return at if excess <= 0 else now + self._span


@dataclass
class _Standing:
    """One installation."""

    points: _Window = field(default_factory=lambda: _Window(_MINUTE))
    minute: _Window = field(default_factory=lambda: _Window(_MINUTE))
    hour: _Window = field(default_factory=lambda: _Window(_HOUR))
    edits: _Window = field(default_factory=lambda: _Window(_MINUTE))
    progress: _Window = field(default_factory=lambda: _Window(_HOUR))
    last_progress: datetime = _LONG_AGO
    turns: defaultdict[tuple[Content | None, bool, bool], asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    """Of calls that are alike, who came first goes first."""
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CONCURRENT))
    background: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_BACKGROUND_CONCURRENT))
    blocked_until: datetime = _LONG_AGO
    scarce_until: datetime = _LONG_AGO
    refusals_in_a_row: int = 0

    def open_at(self, *, urgent: bool) -> datetime:
        """When GitHub answers again, as far as it has told."""
        return self.blocked_until if urgent else max(self.blocked_until, self.scarce_until)

    def free_at(self, weight: Weight, now: datetime, *, urgent: bool, owed: int = 0) -> datetime:
        most = _POINTS_PER_MINUTE if urgent else _BACKGROUND_POINTS_PER_MINUTE
        moments = [self.open_at(urgent=urgent), self.points.free_at(weight.points, most, now)]
        content = weight.content
        if content is not None:
            moments.append(self.minute.free_at(1, content.per_minute, now))
            moments.append(self.hour.free_at(1 + owed, content.per_hour, now))
        if weight.edit:
            moments.append(self.edits.free_at(1, _EDITS_PER_MINUTE, now))
        if weight.uninvited:
            moments.append(self.minute.free_at(1, _UNINVITED_PER_MINUTE, now))
            moments.append(self.hour.free_at(1, _UNINVITED_PER_HOUR, now))
        elif content is Content.PROGRESS and self.progress.free_at(1, _PROGRESS_AT_ONCE, now) > now:
            moments.append(self.last_progress + _PROGRESS_PAUSE)
        return max(moments)

    def spend(self, weight: Weight, now: datetime) -> None:
        self.points.add(weight.points, now)
        if weight.content is not None:
            self.minute.add(1, now)
            self.hour.add(1, now)
        if weight.edit:
            self.edits.add(1, now)
        if weight.content is Content.PROGRESS and not weight.uninvited:
            self.progress.add(1, now)
            self.last_progress = now


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
        """Wait for the call's turn. Raises RateLimited when that is further away than patience."""
        standing = self._standing(installation_id)
        latest = self._clock() + (_PATIENCE if urgent else _BACKGROUND_PATIENCE)
        async with standing.turns[weight.content, weight.uninvited, urgent]:
            await self._wait(lambda: standing.free_at(weight, self._clock(), urgent=urgent), latest)
            standing.spend(weight, self._clock())
        async with AsyncExitStack() as held:
            for slots in (standing.slots,) if urgent else (standing.background, standing.slots):
                await held.enter_async_context(slots)
            await self._wait(lambda: standing.open_at(urgent=urgent), latest)
            yield

    def has_room(self, installation_id: InstallationId, content: Content, *, owed: int = 0) -> bool:
        """Whether an edit would go at once. `owed`: how many outcomes are still to be told, which progress leaves."""
        standing, now = self._standing(installation_id), self._clock()
        urgent = content is not Content.PROGRESS
        return standing.free_at(edit(content), now, urgent=urgent, owed=0 if urgent else owed) <= now

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

    async def _wait(self, free_at: Callable[[], datetime], latest: datetime) -> None:
        # Read again after each wait: another call may have learned of a later moment, or taken the room, meanwhile.
        while (until := free_at()) > (now := self._clock()):
            if until > latest:
                raise RateLimited(until)
            await self._sleep((until - now).total_seconds())

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
