"""What becomes of a genuine delivery, however it reached us: decided, then stored with what it asks for, once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from bot.intake import errands, triggers
from bot.intake.triggers import Ignored
from bot.intake.webhook import Delivery
from bot.model import RunId
from bot.runs.lifecycle import NewRun
from bot.runs.records import Accepted, Duplicate, Received
from bot.runs.store import Store

_LONG_CHARACTERS = 4_000
"""Reading the Markdown of a long comment takes long enough for others to notice, so it is done beside the loop."""


@dataclass(frozen=True)
class Noted:
    """Stored, with an errand that is carried out beside the runs."""

    kind: str


Taken: TypeAlias = Accepted | Duplicate | Noted | Ignored


@dataclass(frozen=True)
class Reception:
    store: Store
    command: str
    label: str
    app_id: int | None
    clock: Callable[[], datetime]
    new_run_id: Callable[[], RunId]

    async def take(self, delivery: Delivery) -> Taken:
        """One transaction for the delivery and what it asks for. Raises StoreUnavailable; nothing is kept then."""
        now = self.clock()
        decision = await self._decide(delivery, now)
        if isinstance(decision, Ignored):
            return decision
        kind = type(decision).__name__.lower()
        received = Received(delivery.guid, delivery.event, delivery.action, kind)
        if isinstance(decision, triggers.Start):
            start = NewRun(self.new_run_id(), decision.request, decision.intent, decision.message_key)
            answer = await self.store.accept(received, start, now)
        else:
            answer = await self.store.accept(received, None, now, errands.dump(decision))
        return answer or Noted(kind)

    async def _decide(self, delivery: Delivery, now: datetime) -> triggers.Decision:
        def decide() -> triggers.Decision:
            return triggers.decide(
                delivery, command=self.command, label=self.label, app_id=self.app_id, received_at=now
            )

        said = delivery.comment or delivery.review
        long = said is not None and len(said.body) > _LONG_CHARACTERS
        return await asyncio.to_thread(decide) if long else decide()
