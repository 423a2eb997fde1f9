"""`POST /webhook`: size, signature, parse, decide, one transaction, then the answer."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.errors import StoreUnavailable
from bot.intake import triggers, webhook
from bot.model import RunId
from bot.pipeline.commands import COMMAND
from bot.runs.lifecycle import NewRun
from bot.runs.records import Accepted, Duplicate, Received
from bot.runs.store import Store
from bot.web.problems import problem

SIZE_LIMIT_BYTES = 26 * 1024 * 1024
"""GitHub sends at most 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap"""

_LIMIT_DIGITS = len(str(SIZE_LIMIT_BYTES))
_LONG_BYTES = 64 * 1024
"""Reading the Markdown of a long comment takes long enough for others to notice, so it is done beside the loop."""

log = structlog.get_logger("bot.web.door")


@dataclass(frozen=True)
class Door:
    """Takes GitHub's deliveries in. Each is answered with one log line."""

    store: Store
    secrets: Sequence[bytes]
    command: str
    label: str
    app_id: int | None
    clock: Callable[[], datetime]
    new_run_id: Callable[[], RunId]
    count: Callable[[str], None]
    """Told how each delivery was answered."""

    async def __call__(self, request: Request) -> Response:
        response, decision, delivery = await self._answer(request)
        self.count(decision)
        log.info(
            "delivery.answered",
            status=response.status_code,
            decision=decision,
            delivery=delivery.guid if delivery else None,
            event_name=delivery.name if delivery else None,
            installation=delivery.installation_id if delivery else None,
            repo=delivery.repo.full_name if delivery and delivery.repo else None,
        )
        return response

    async def _answer(self, request: Request) -> tuple[Response, str, webhook.Delivery | None]:
        body = await _body(request)
        if body is None:
            return problem(413, "too-large", f"A delivery has at most {SIZE_LIMIT_BYTES} bytes."), "too large", None
        signature = dict(request.headers.raw).get(webhook.SIGNATURE_HEADER.lower().encode())
        if not webhook.genuine(body, signature, self.secrets):
            detail = "The signature is missing or wrong: the app's webhook secret must equal GITHUB_WEBHOOK_SECRET."
            return problem(401, "bad-signature", detail), "not genuine", None
        delivery = webhook.parse(request.headers, body)
        if isinstance(delivery, webhook.Unreadable):
            return problem(400, "unreadable", f"Not a delivery: {delivery.reason}."), "unreadable", None
        now = self.clock()
        decision = await self._decide(delivery, now, beside=len(body) > _LONG_BYTES)
        try:
            response, words = await self._store(delivery, decision, now)
        except StoreUnavailable as error:
            log.warning("store.unavailable", error=str(error))
            detail = "The delivery could not be stored; it is safe to deliver it again."
            return problem(503, "not-stored", detail), "not stored", delivery
        return response, words, delivery

    async def _decide(self, delivery: webhook.Delivery, now: datetime, *, beside: bool) -> triggers.Decision:
        def decide() -> triggers.Decision:
            return triggers.decide(
                delivery, command=self.command, label=self.label, app_id=self.app_id, received_at=now
            )

        return await asyncio.to_thread(decide) if beside else decide()

    async def _store(
        self, delivery: webhook.Delivery, decision: triggers.Decision, now: datetime
    ) -> tuple[Response, str]:
        if isinstance(decision, triggers.Ignored):
            return JSONResponse({"result": "ignored", "reason": decision.reason}), "ignored"
        start = None
        if isinstance(decision, triggers.Start):
            start = NewRun(self.new_run_id(), decision.request, decision.intent)
        command = COMMAND.dump_python(decision, mode="json") if isinstance(decision, triggers.Command) else None
        kind = type(decision).__name__.lower()
        answer = await self.store.accept(
            Received(delivery.guid, delivery.event, delivery.action, kind), start, now, command
        )
        if isinstance(answer, Duplicate):
            return JSONResponse({"result": "duplicate", "run_id": answer.run_id}), "duplicate"
        if isinstance(answer, Accepted):
            return JSONResponse({"result": "accepted", "run_id": answer.run_id}, 202), "accepted"
        return JSONResponse({"result": "accepted"}, 202), kind


async def _body(request: Request) -> bytes | None:
    """None as soon as it is larger than any delivery; what was announced counts, too."""
    announced = request.headers.get("content-length", "").lstrip("0")
    if (
        announced.isascii()
        and announced.isdigit()
        and (len(announced) > _LIMIT_DIGITS or int(announced) > SIZE_LIMIT_BYTES)
    ):
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > SIZE_LIMIT_BYTES:
            return None
    return bytes(body)
