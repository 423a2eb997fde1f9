"""`POST /webhook`: size, signature, parse, decide, one transaction, then the answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.errors import StoreUnavailable
from bot.intake import webhook
from bot.intake.triggers import Ignored
from bot.runs.reception import Noted, Reception, Taken
from bot.runs.records import Accepted, Duplicate
from bot.web.problems import problem

SIZE_LIMIT_BYTES = 26 * 1024 * 1024
"""GitHub sends at most 25 MB: https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap"""

_LIMIT_DIGITS = len(str(SIZE_LIMIT_BYTES))

log = structlog.get_logger("bot.web.door")


@dataclass(frozen=True)
class Door:
    """Takes GitHub's deliveries in. Each is answered with one log line."""

    reception: Reception
    secrets: Sequence[bytes]
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
        try:
            response, words = _told(await self.reception.take(delivery))
        except StoreUnavailable as error:
            log.warning("store.unavailable", error=str(error))
            detail = "The delivery could not be stored; it is safe to deliver it again."
            return problem(503, "not-stored", detail), "not stored", delivery
        return response, words, delivery


def _told(taken: Taken) -> tuple[Response, str]:
    match taken:
        case Ignored(reason):
            return JSONResponse({"result": "ignored", "reason": reason}), "ignored"
        case Duplicate(run_id):
            return JSONResponse({"result": "duplicate", "run_id": run_id}), "duplicate"
        case Accepted(run_id):
            return JSONResponse({"result": "accepted", "run_id": run_id}, 202), "accepted"
        case Noted(kind):
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
