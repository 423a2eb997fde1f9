"""The pages that people keep open: the list of runs, one run, the form that starts one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.model import RunState
from bot.runs.listing import Cost, Listing
from bot.runs.records import Run
from bot.runs.store import Store
from bot.runs.view import RunView
from bot.web import code_request, forms, presenting
from bot.web.api import CodeApi, Declined
from bot.web.code_request import FieldProblem
from bot.web.doorkeeper import Doorkeeper
from bot.web.kept import Kept
from bot.web.run_access import Seen, seen
from bot.web.runs import RunReaders, wished
from bot.web.visitor import Person, Visitor

_COSTS_OF = timedelta(days=14)
_FIELDS = {"repo_url": "Repository", "prompt": "What is to be done", "base": "Branch", "model": "Model"}
_FIELDS |= {"budget_usd": "Budget"}
_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


@dataclass(frozen=True)
class Pages:
    store: Store
    listing: Listing
    readers: RunReaders
    doorkeeper: Doorkeeper
    api: CodeApi
    web_url: str
    """GitHub's, for links to threads."""
    clock: Callable[[], datetime]
    kept: Kept

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.runs),
            Route("/new", self.new),
            Route("/new", self.start, methods=["POST"]),
            Route("/runs/{run_id}", self.run),
            Route("/runs/{run_id}/news", self.news),
        ]

    async def runs(self, request: Request) -> Response:
        """The list, with filters in the address, and what the runs cost by day."""
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return _to_login(request)
        wish = wished(request.query_params)
        if isinstance(wish, Response):
            return RedirectResponse("/", 303)
        page = await self.readers.page_for(visitor, wish)
        costs = await self._costs(visitor)
        given = {name: request.query_params.get(name, "") for name in ("repo", "state", "actor")}
        following = {**given, "cursor": page.after.token()} if page.after else None
        return _page(
            "runs.html",
            visitor,
            runs=[(run, presenting.title_of(run)) for run in page.runs],
            given=given,
            states=list(RunState),
            following=f"/?{urlencode(following)}" if following else None,
            bars=presenting.bars(costs, self.clock().date()),
            costs=presenting.by_repository(costs),
            total=sum(cost.cost_usd for cost in costs),
        )

    async def _costs(self, visitor: Visitor) -> Sequence[Cost]:
        since = (self.clock() - _COSTS_OF).replace(hour=0, minute=0, second=0, microsecond=0)
        newest = await self.listing.newest_of_each(since)
        repos = {run.request.repo.full_name for run in await self.doorkeeper.readable(visitor, newest)}
        return await self.listing.costs(since, repos)

    async def run(self, request: Request) -> Response:
        """One run, as it is now; the page's script brings what comes after."""
        found = await self._seen(request)
        if isinstance(found, Response):
            return found
        run, view = await self._now(found.run)
        before = _number(request.query_params.get("before", ""))
        until = before if before is not None and before <= view.last_seq else view.last_seq + 1
        first = max(0, until - 1 - presenting.EVENTS_SHOWN)
        events = await self.store.events_after(run.id, first, limit=until - 1 - first) if until > 1 else []
        return _page(
            "run.html",
            found.visitor,
            **await self._facts(found.visitor, run, view),
            patch=await self.kept.patch(run),
            entries=presenting.entries(events),
            first=first + 1,
            last=view.last_seq,
            past=until <= view.last_seq,
        )

    async def news(self, request: Request) -> Response:
        """What has changed since an event: the same markup as the page's own, for its script.

        So many events at once; `data-more` says that there are further ones behind `data-last`.
        """
        found = await self._seen(request)
        if isinstance(found, Response):
            return found
        run, view = await self._now(found.run)
        after = _number(request.query_params.get("after", "")) or 0
        events = []
        if after < view.last_seq:
            events = await self.store.events_after(run.id, after, limit=presenting.EVENTS_SHOWN)
        last = events[-1].seq if events else max(after, view.last_seq)
        more = last < view.last_seq
        return _page(
            "news.html",
            found.visitor,
            **await self._facts(found.visitor, run, view),
            patch=None if more else await self.kept.patch(run),
            entries=presenting.entries(events),
            last=last,
            more=more,
        )

    async def _now(self, run: Run) -> tuple[Run, RunView]:
        """The run, and its view up to the same event or a later one: of an ended run, all of it."""
        view = await self.kept.view(run)
        if view.complete and run.finished_at is None:
            # It ended between the two looks.
            return await self.store.run(run.id) or run, view
        return run, view

    async def _facts(self, visitor: Visitor, run: Run, view: RunView) -> dict[str, Any]:
        return {
            "run": run,
            "title": presenting.title_of(run),
            "view": view,
            "elapsed": view.elapsed_seconds(self.clock()),
            "thread": self._thread(run),
            "may_act": await self.doorkeeper.may_act(visitor, run),
        }

    def _thread(self, run: Run) -> str:
        issue = run.request.issue
        if issue is None:
            return ""
        kind = "pull" if issue.is_pull_request else "issues"
        return f"{self.web_url}/{run.request.repo.full_name}/{kind}/{issue.number}"

    async def _seen(self, request: Request) -> Seen | Response:
        found = await seen(request, self.doorkeeper, self.store)
        if isinstance(found, Seen):
            return found
        return _to_login(request) if found.status_code == 401 else _page("absent.html", None, status=404)

    async def new(self, request: Request) -> Response:
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return _to_login(request)
        given = {"repo_url": request.query_params.get("repo", "")}
        return self._form(visitor, given, [])

    async def start(self, request: Request) -> Response:
        """The same as `POST /api/code`, for a form: a redirect to the run, or the form with what is wrong."""
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return _to_login(request)
        given = await forms.fields(request)
        if self.doorkeeper.forged(visitor, request, given.get("form_token")):
            return self._form(visitor, given, [FieldProblem("", "The form was too old. Send it again.")], 403)
        wanted = code_request.read(_body(given), github_url=self.api.github_url, models=self.api.models)
        if isinstance(wanted, list):
            return self._form(visitor, given, wanted, 422)
        begun = await self.api.begin(visitor, wanted)
        if isinstance(begun, Declined):
            return self._form(visitor, given, [FieldProblem("", begun.words)], begun.status)
        return RedirectResponse(f"/runs/{begun.run_id}", 303)

    def _form(
        self, visitor: Visitor, given: dict[str, str], problems: Sequence[FieldProblem], status: int = 200
    ) -> Response:
        wrong = {problem.field: problem.detail for problem in problems}
        return _page(
            "new.html",
            visitor,
            status=status,
            given=given,
            wrong=wrong,
            fields=_FIELDS,
            models=sorted(self.api.models),
            github_url=self.api.github_url,
        )


def _body(given: dict[str, str]) -> dict[str, object]:
    """A form's texts as the API's body: what is left empty is not there."""
    body: dict[str, object] = {name: given[name] for name in ("base", "model") if given.get(name)}
    body |= {"repo_url": given.get("repo_url", ""), "prompt": given.get("prompt", "").replace("\r\n", "\n")}
    budget = given.get("budget_usd", "").strip()
    if budget:
        try:
            body["budget_usd"] = float(budget)
        except ValueError:
            body["budget_usd"] = budget
    return body


def _number(text: str) -> int | None:
    """An event's place, as an address has it."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _to_login(request: Request) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303)


def _page(name: str, visitor: Visitor | None, *, status: int = 200, **facts: object) -> Response:
    person = visitor if isinstance(visitor, Person) else None
    html = _pages.get_template(name).render(person=person, form_token=person.form_token if person else "", **facts)
    return Response(html, status, media_type="text/html")
