"""Reads GitHub's own list of deliveries back, and takes in what did not reach us.

https://docs.github.com/en/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError
from bot.github.app import Attempt, Attempts, Sent
from bot.intake import webhook
from bot.intake.webhook import Unreadable
from bot.runs.reception import Reception
from bot.runs.store import Store

_EVERY_SECONDS = 300.0
_KEPT_BY_GITHUB = timedelta(days=3)
_STILL_UNDER_WAY = timedelta(seconds=60)
"""So young a delivery may yet be answered by the door."""
_OVERLAP = timedelta(minutes=10)
"""GitHub lists deliveries late at times."""
_CURSOR = "deliveries"
_MOST_PAGES = 1000
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


class Recovery:
    """`step` is the hand crank of its one loop."""

    def __init__(self, app: GitHub, reception: Reception, store: Store, *, clock: Callable[[], datetime]) -> None:
        self._app = app
        self._reception = reception
        self._store = store
        self._clock = clock

    async def serve(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self.step()
            except BackspaceError as error:
                log.warning("recovery.failed", error=str(error))
            await asyncio.sleep(_EVERY_SECONDS)

    async def step(self) -> int:
        """How many deliveries were taken in. Raises BackspaceError when the list could not be read to its end.

        The point up to which all was seen moves only when that has been done, so that a second try begins there.
        """
        horizon = self._clock() - _STILL_UNDER_WAY
        lost = await self._lost(await self._since(), horizon)
        for attempt in lost:
            await self._take(attempt)
        await self._store.remember(_CURSOR, horizon.isoformat())
        return len(lost)

    async def _since(self) -> datetime:
        seen = await self._store.remembered(_CURSOR)
        oldest = self._clock() - _KEPT_BY_GITHUB
        return max(oldest, datetime.fromisoformat(seen) - _OVERLAP) if seen else oldest

    async def _lost(self, since: datetime, horizon: datetime) -> list[Attempt]:
        """One attempt of each delivery that never arrived, oldest first."""
        arrived: set[str] = set()
        failed: dict[str, Attempt] = {}
        young: set[str] = set()
        rest = ""
        for _ in range(_MOST_PAGES):
            page = await self._app.attempts(rest)
            for attempt in page.attempts:
                if attempt.arrived:
                    arrived.add(attempt.guid)
                elif attempt.delivered_at > horizon:
                    young.add(attempt.guid)
                elif attempt.delivered_at >= since and attempt.event in _READ:
                    failed[attempt.guid] = attempt
            rest = page.rest
            if not rest or (page.attempts and page.attempts[-1].delivered_at < since):
                break
        known = await self._store.received(failed.keys() - arrived - young)
        lost = [attempt for guid, attempt in failed.items() if guid not in arrived | young | known]
        return sorted(lost, key=lambda attempt: attempt.delivered_at)

    async def _take(self, attempt: Attempt) -> None:
        sent = await self._app.sent(attempt)
        # As JSON again, not the bytes that were signed; that it comes from GitHub is sure anyway.
        delivery = webhook.parse(sent.headers, json.dumps(sent.payload).encode())
        if isinstance(delivery, Unreadable):
            log.warning("delivery.unreadable", delivery=attempt.guid, reason=delivery.reason)
            return
        taken = await self._reception.take(delivery)
        log.info("delivery.recovered", delivery=attempt.guid, event_name=delivery.name, decision=type(taken).__name__)
