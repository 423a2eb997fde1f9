"""Runs for readers: the list, one as JSON, its events, its patch."""

from dataclasses import dataclass, replace

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.model import RunState
from bot.pipeline.publish import PATCH_ARTEFACT
from bot.runs.listing import Cursor, Filters, Listing, Place, behind, place_of
from bot.runs.records import Run
from bot.runs.store import Store
from bot.web import sse
from bot.web.doorkeeper import Doorkeeper
from bot.web.hub import Hub
from bot.web.problems import problem
from bot.web.run_access import absent, seen, unknown
from bot.web.stream import EventStream
from bot.web.visitor import ByKey, Visitor

_RUNS = 30
_MOST_RUNS = 100
_ROUNDS = 10
"""So many pages are looked through for runs that the visitor may see; then the answer has fewer."""
_ROUNDS_FOR_ONE = 40
"""So many before the answer has none though there are more. Each leaves out the repositories that were hidden."""
_STATES = ", ".join(f"`{state}`" for state in RunState)


@dataclass(frozen=True)
class Page:
    runs: list[Run]
    after: Cursor | None
    """Where the next page begins; None when this is the last one."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants listed."""

    filters: Filters
    cursor: Cursor | None
    limit: int


@dataclass(frozen=True)
class RunReaders:
    store: Store
    listing: Listing
    hub: Hub
    doorkeeper: Doorkeeper

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/runs", self.as_list),
            Route("/api/runs/{run_id}", self.as_json),
            Route("/api/runs/{run_id}/events", self.events),
            Route("/api/runs/{run_id}/patch", self.patch),
        ]

    async def as_list(self, request: Request) -> Response:
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return unknown()
        wish = wished(request.query_params)
        if isinstance(wish, Response):
            return wish
        page = await self.page_for(visitor, wish)
        following = page.after.token() if page.after else None
        return JSONResponse({"runs": [summary(run) for run in page.runs], "next": following})

    async def page_for(self, visitor: Visitor, wish: Wish) -> Page:
        """Runs that the visitor may see; fewer than asked for, though there may be more, when most are hidden."""
        filters = wish.filters
        if isinstance(visitor, ByKey):
            filters = replace(filters, patterns=visitor.key.repos)
        shown: list[Run] = []
        after, size = wish.cursor, wish.limit
        hidden: set[Place] = set()
        for number in range(_ROUNDS_FOR_ONE):
            if shown and number >= _ROUNDS:
                break
            # One more than is needed tells whether there are more.
            found = await self.listing.page(replace(filters, without=hidden), after, size + 1)
            readable = await self.doorkeeper.readable(visitor, found)
            for run in readable:
                if len(shown) == wish.limit:
                    return Page(shown, behind(shown[-1]))
                shown.append(run)
            if len(found) <= size:
                return Page(shown, None)
            after, size = behind(found[-1]), _MOST_RUNS
            # What no installation stands for is decided run by run.
            hidden |= {place_of(run) for run in found if run.request.installation_id} - {
                place_of(run) for run in readable
            }
        return Page(shown, after)

    async def as_json(self, request: Request) -> Response:
        found = await seen(request, self.doorkeeper, self.store)
        return found if isinstance(found, Response) else JSONResponse(summary(found.run))

    async def events(self, request: Request) -> Response:
        found = await seen(request, self.doorkeeper, self.store)
        if isinstance(found, Response):
            return found
        after = sse.cursor(request.headers.get("last-event-id"), request.query_params.get("after"))
        if after is None:
            return problem(400, "bad-cursor", "Last-Event-ID must be the id of an event of this run, a whole number.")
        if request.method == "HEAD":
            return Response(media_type=EventStream.media_type)
        return EventStream(self.hub, found.run.id, after)

    async def patch(self, request: Request) -> Response:
        found = await seen(request, self.doorkeeper, self.store)
        if isinstance(found, Response):
            return found
        content = await self.store.saved(found.run.id, PATCH_ARTEFACT)
        if content is None:
            return absent()
        headers = {"content-disposition": f'attachment; filename="backspace-{found.run.id[:8]}.patch"'}
        return Response(content, media_type="text/x-patch; charset=utf-8", headers=headers)


def wished(query: QueryParams) -> Wish | Response:
    """From the address; else the problem to answer with."""
    state, limit, token = query.get("state", ""), query.get("limit", ""), query.get("cursor", "")
    if state not in {"", *RunState}:
        return problem(400, "bad-filter", f"`state` is one of {_STATES}.")
    if not _is_limit(limit):
        return problem(400, "bad-filter", f"`limit` is a whole number from 1 to {_MOST_RUNS}.")
    cursor = Cursor.of(token) if token else None
    if token and cursor is None:
        return problem(400, "bad-cursor", "`cursor` is what `next` of an earlier page said, or nothing.")
    repo, actor = query.get("repo", ""), query.get("actor", "")
    if "\0" in repo + actor:
        return problem(400, "bad-filter", "`repo` is `owner/name`, `actor` a login or the name of a key.")
    filters = Filters(repo, RunState(state) if state else None, actor)
    return Wish(filters, cursor, int(limit) if limit else _RUNS)


def _is_limit(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= _MOST_RUNS)


def summary(run: Run) -> dict[str, object]:
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
