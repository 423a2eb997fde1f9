"""What a visitor may do with a run: stop it, start it again. Forms of our pages are sent back to a page."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.model import RunId, RunRequest, TriggerKind
from bot.pipeline import again
from bot.runs.lifecycle import NewRun
from bot.runs.rates import Rates
from bot.runs.records import Run, Stopped
from bot.runs.store import Store
from bot.web import forms
from bot.web.api import quota_of, too_often
from bot.web.doorkeeper import Doorkeeper
from bot.web.problems import problem
from bot.web.run_access import Seen, seen
from bot.web.visitor import Visitor, actor_of, asked_by

log = structlog.get_logger("bot.web.run_actions")


@dataclass(frozen=True)
class RunActions:
    store: Store
    doorkeeper: Doorkeeper
    rates: Rates
    public_url: str
    clock: Callable[[], datetime]
    new_run_id: Callable[[], RunId]

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/runs/{run_id}/stop", self.stop, methods=["POST"]),
            Route("/api/runs/{run_id}/retry", self.retry, methods=["POST"]),
        ]

    async def stop(self, request: Request) -> Response:
        found = await self._allowed(request)
        if isinstance(found, Response):
            return found
        run_id = found.run.id
        stopped = await again.stop(run_id, self.store, self.clock())
        log.info("run.stop_asked", run=run_id, by=asked_by(found.visitor), result=stopped)
        if _is_form(request):
            return self._page_of(run_id)
        return JSONResponse({"result": stopped}, 202 if stopped is Stopped.SOON else 200)

    async def retry(self, request: Request) -> Response:
        found = await self._allowed(request)
        if isinstance(found, Response):
            return found
        visitor, earlier = found.visitor, found.run
        if earlier.outcome is None:
            return problem(409, "still-running", "The run has not ended yet.")
        run_id = await self._again(visitor, earlier, request.headers.get("idempotency-key", ""))
        if isinstance(run_id, Response):
            return run_id
        log.info("run.retry_asked", run=run_id, earlier=earlier.id, by=asked_by(visitor))
        if _is_form(request):
            return self._page_of(run_id)
        url = f"{self.public_url}/runs/{run_id}"
        events_url = f"{self.public_url}/api/runs/{run_id}/events"
        return JSONResponse({"request_id": run_id, "run_url": url, "events_url": events_url}, 202)

    async def _again(self, visitor: Visitor, earlier: Run, wish: str) -> RunId | Response:
        """The new run, which is the one of before when `wish` came before; else the problem to answer with."""
        run_id = self.new_run_id()
        job_key = f"{asked_by(visitor)}:retry:{earlier.id}:{sha256((wish or run_id).encode()).hexdigest()}"
        if wish and (known := await self.store.by_wish(job_key)) is not None:
            return known.id
        quota = quota_of(visitor)
        if quota is not None and (wait := await self.rates.take(quota)) is not None:
            return too_often(wait).answer()
        new = NewRun(run_id, self._request(visitor, earlier), job_key)
        started = await again.retry(earlier, new, self.store, self.clock())
        return started.run_id or run_id

    async def _allowed(self, request: Request) -> Seen | Response:
        found = await seen(request, self.doorkeeper, self.store)
        if isinstance(found, Response):
            return found
        token = (await forms.fields(request)).get("form_token") or request.headers.get("x-form-token")
        if self.doorkeeper.forged(found.visitor, request, token):
            return problem(403, "form-token", "This did not come from a page of Backspace. Reload the page.")
        if not await self.doorkeeper.may_act(found.visitor, found.run):
            return problem(403, "not-allowed", "You may see this run, but neither stop it nor start it again.")
        return found

    def _request(self, visitor: Visitor, earlier: Run) -> RunRequest:
        """The same wish, by who asks now; where there is a thread, its comment goes there as ever."""
        review = earlier.request.review
        return replace(
            earlier.request,
            actor=actor_of(visitor),
            asked_by=asked_by(visitor),
            trigger=TriggerKind.API,
            triggered_at=self.clock(),
            comment_id=None,
            review=replace(review, comment_id=0) if review else None,
            head_seen=None,
        )

    def _page_of(self, run_id: RunId) -> Response:
        return RedirectResponse(f"/runs/{run_id}", 303)


def _is_form(request: Request) -> bool:
    """Whether a page without JavaScript asks, which shows what comes back."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type == "application/x-www-form-urlencoded" and "text/html" in request.headers.get("accept", "")
