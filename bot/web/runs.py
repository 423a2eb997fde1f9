"""One run for readers: as JSON, as a stream of events, as a page, and its patch."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from bot.events import Complete, encode
from bot.model import RunId
from bot.runs.records import Run
from bot.runs.store import Store
from bot.runs.view import view_of
from bot.web import sse
from bot.web.problems import problem

PATCH_ARTEFACT = "patch"
_KEEP_ALIVE_SECONDS = 15.0
_PAGE_EVENTS = 500
_SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_pages = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)


@dataclass(frozen=True)
class RunReaders:
    """Open to everyone who reaches the port only when `BACKSPACE_REQUIRE_AUTH=false`; closed to all otherwise."""

    store: Store
    open_to_all: bool

    async def _find(self, request: Request) -> Run | None:
        """A run that is not there and one that may not be seen look the same."""
        if not self.open_to_all:
            return None
        return await self.store.run(RunId(request.path_params["run_id"]))

    async def as_json(self, request: Request) -> Response:
        run = await self._find(request)
        if run is None:
            return _absent()
        return JSONResponse(_summary(run), headers=_SECURITY_HEADERS)

    async def events(self, request: Request) -> Response:
        run = await self._find(request)
        if run is None:
            return _absent()
        after = sse.cursor(request.headers.get("last-event-id"), request.query_params.get("after"))
        if after is None:
            return problem(400, "bad-cursor", "Last-Event-ID must be the id of an event of this run, a whole number.")
        headers = {**_SECURITY_HEADERS, "x-accel-buffering": "no"}
        return StreamingResponse(self._stream(run.id, after), media_type="text/event-stream", headers=headers)

    async def _stream(self, run_id: RunId, after: int) -> AsyncIterator[bytes]:
        with self.store.changes.of(run_id) as news:
            while True:
                news.clear()
                stored = await self.store.events_after(run_id, after)
                for event in stored:
                    yield sse.frame(event)
                    after = event.seq
                    if isinstance(event.event, Complete):
                        return
                if stored:
                    continue
                run = await self.store.run(run_id)
                if run is None or (run.finished_at is not None and after >= run.last_seq):
                    return
                try:
                    await asyncio.wait_for(news.wait(), _KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield sse.KEEP_ALIVE

    async def patch(self, request: Request) -> Response:
        run = await self._find(request)
        content = await self.store.saved(run.id, PATCH_ARTEFACT) if run else None
        if run is None or content is None:
            return _absent()
        headers = {**_SECURITY_HEADERS, "content-disposition": f'attachment; filename="backspace-{run.id[:8]}.patch"'}
        return Response(content, media_type="text/x-patch; charset=utf-8", headers=headers)

    async def page(self, request: Request) -> Response:
        run = await self._find(request)
        if run is None:
            return Response(_pages.get_template("absent.html").render(), 404, _SECURITY_HEADERS, "text/html")
        events = []
        after = 0
        while stored := await self.store.events_after(run.id, after, limit=_PAGE_EVENTS):
            events += stored
            after = stored[-1].seq
        has_patch = await self.store.saved(run.id, PATCH_ARTEFACT) is not None
        html = _pages.get_template("run.html").render(
            run=run,
            view=view_of(events),
            events=[{"seq": e.seq, "at": e.timestamp, **encode(e.event)} for e in events],
            has_patch=has_patch,
        )
        return Response(html, 200, _SECURITY_HEADERS, "text/html")


def _absent() -> Response:
    return problem(404, "no-such-run", "There is no such run, or you may not see it.")


def _summary(run: Run) -> dict[str, object]:
    request = run.request
    return {
        "request_id": run.id,
        "repo": request.repo.full_name,
        "issue": request.issue.number if request.issue else None,
        "prompt": request.prompt,
        "trigger": request.trigger,
        "actor": request.actor.login,
        "state": run.state,
        "outcome": run.outcome,
        "pr_url": run.pr_url,
        "pull_request": _pull_request(run),
        "branch": run.branch,
        "model": run.model,
        "cost_usd": run.usage.cost_usd,
        "budget_usd": run.budget_usd,
        "created_at": run.created_at.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
        "last_event": run.last_seq,
        "reported": run.reported_final or run.comment_id is None,
    }


def _pull_request(run: Run) -> dict[str, object] | None:
    """As far as GitHub has told. `url` is None until the run has ended."""
    if run.pull_number is None:
        return None
    return {"number": run.pull_number, "url": run.pr_url, "state": run.pull_state}
