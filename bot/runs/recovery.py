"""Reads GitHub's own list of deliveries back, and takes in what did not reach us.

https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError, StoreUnavailable
from bot.github.app import Attempt, Attempts, Sent
from bot.github.failures import AppRefused, GitHubFailed
from bot.intake import webhook
from bot.intake.webhook import Delivery, Unreadable
from bot.runs.delivery_log import DeliveryLog
from bot.runs.reception import Taken

_EVERY_SECONDS = 300.0
_KEPT_BY_GITHUB = timedelta(days=3)
_STILL_UNDER_WAY = timedelta(seconds=60)
"""So young a delivery may yet be answered by the door."""
_OVERLAP = timedelta(minutes=10)
"""GitHub lists deliveries late at times."""
_MOST_PAGES = 1000
_MOST_AT_ONCE = 200
_MOST_TRIES = 36
"""Three hours: an outage of GitHub's is to pass, a delivery that it cannot show is not to be asked for for ever."""
_MOST_PUT_OFF = 3
"""In one step: when GitHub fails more often, the rest waits as well."""
_READ = frozenset(
    {
        "check_run",
        "check_suite",
        "installation",
        "installation_repositories",
        "issue_comment",
        "issues",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
    }
)
log = structlog.get_logger("bot.runs.recovery")


class GitHub(Protocol):
    async def attempts(self, rest: str = "") -> Attempts: ...
    async def sent(self, attempt: Attempt) -> Sent: ...


class Reception(Protocol):
    """What becomes of a delivery that came by the door, too."""

    async def take(self, delivery: Delivery) -> Taken: ...


@dataclass
class _Listed:
    """What GitHub lists since the last time."""

    arrived: set[str] = field(default_factory=set)
    young: set[str] = field(default_factory=set)
    failed: dict[str, Attempt] = field(default_factory=dict)
    """The oldest attempt of each delivery."""
    latest: datetime | None = None
    """Of what is old enough to be decided about."""


class Recovery:
    """`step` is the hand crank of its one loop."""

    def __init__(
        self, app: GitHub, reception: Reception, deliveries: DeliveryLog, *, clock: Callable[[], datetime]
    ) -> None:
        self._app = app
        self._reception = reception
        self._deliveries = deliveries
        self._clock = clock
        self._tries: Counter[str] = Counter()
        self._settled: set[str] = set()
        self._complaint = ""

    async def serve(self) -> None:
        """Until it is cancelled."""
        while True:
            more = False
            try:
                more = await self.step() >= _MOST_AT_ONCE
                self._complaint = ""
            except BackspaceError as error:
                self._complain(str(error))
            if not more:
                await asyncio.sleep(_EVERY_SECONDS)

    def _complain(self, words: str) -> None:
        """Once, however long it lasts."""
        if words != self._complaint:
            log.warning("recovery.failed", error=words)
        self._complaint = words

    async def step(self) -> int:
        """How many deliveries were looked into, the oldest first. Raises BackspaceError.

        The point up to which all was seen never passes one that is still to be looked into, nor one that is
        too young for that. It is GitHub's time: ours may be another.
        """
        listed = await self._list(await self._since())
        left = await self._lost(listed)
        looked_into = 0
        put_off: list[Attempt] = []
        while left and looked_into < _MOST_AT_ONCE and len(put_off) < _MOST_PUT_OFF:
            attempt = left.pop(0)
            looked_into += 1
            if not await self._take(attempt):
                put_off.append(attempt)
        open_ones = [attempt.delivered_at for attempt in (*put_off, *left)]
        seen = min(open_ones) if open_ones else listed.latest
        if seen is not None:
            await self._deliveries.note(seen)
        return looked_into

    async def _since(self) -> datetime:
        seen = await self._deliveries.read_until()
        oldest = self._clock() - _KEPT_BY_GITHUB
        return max(oldest, seen - _OVERLAP) if seen else oldest

    async def _list(self, since: datetime) -> _Listed:
        listed, rest = _Listed(), ""
        horizon = self._clock() - _STILL_UNDER_WAY
        for _ in range(_MOST_PAGES):
            page = await self._app.attempts(rest)
            for attempt in page.attempts:
                _sort(attempt, listed, since, horizon)
            rest = page.rest
            if not rest or (page.attempts and page.attempts[-1].delivered_at < since):
                return listed
        log.warning("recovery.list_too_long", pages=_MOST_PAGES)
        return listed

    async def _lost(self, listed: _Listed) -> list[Attempt]:
        """Those that never arrived and are not settled yet, oldest first."""
        self._settled &= listed.failed.keys()
        for guid in self._tries.keys() - listed.failed.keys():
            del self._tries[guid]
        settled = listed.arrived | listed.young | self._settled
        settled |= await self._deliveries.received(listed.failed.keys() - settled)
        lost = [attempt for guid, attempt in listed.failed.items() if guid not in settled]
        return sorted(lost, key=lambda attempt: (attempt.delivered_at, attempt.id))

    async def _take(self, attempt: Attempt) -> bool:
        """False when GitHub does not give it now; later it may. Raises when nothing more can be done at all."""
        self._tries[attempt.guid] += 1
        try:
            await self._read_and_take(attempt)
        except (AppRefused, StoreUnavailable):
            raise
        except GitHubFailed as error:
            if error.retry_helps and self._tries[attempt.guid] < _MOST_TRIES:
                return False
            log.warning("delivery.given_up", delivery=attempt.guid, error=str(error))
        except Exception as error:
            # One that breaks us must not keep the others from being taken in.
            log.warning("delivery.given_up", delivery=attempt.guid, error=repr(error), exc_info=error)
        # What asks for nothing is stored nowhere, and would be fetched again for as long as it is listed.
        self._settled.add(attempt.guid)
        return True

    async def _read_and_take(self, attempt: Attempt) -> None:
        sent = await self._app.sent(attempt)
        # As JSON again, not the bytes that were signed; that it comes from GitHub is sure anyway.
        delivery = webhook.parse(sent.headers, json.dumps(sent.payload).encode())
        if isinstance(delivery, Unreadable):
            log.warning("delivery.unreadable", delivery=attempt.guid, reason=delivery.reason)
            return
        taken = await self._reception.take(delivery)
        log.info("delivery.recovered", delivery=attempt.guid, event_name=delivery.name, decision=type(taken).__name__)


def _sort(attempt: Attempt, listed: _Listed, since: datetime, horizon: datetime) -> None:
    if attempt.delivered_at <= horizon:
        listed.latest = max(listed.latest or attempt.delivered_at, attempt.delivered_at)
    if attempt.arrived:
        listed.arrived.add(attempt.guid)
    elif attempt.delivered_at > horizon:
        listed.young.add(attempt.guid)
    elif attempt.delivered_at >= since and attempt.event in _READ:
        listed.failed[attempt.guid] = attempt
