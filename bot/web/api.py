"""`POST /api/code`: a run for a program, whose events are the answer."""

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bot.events import StoredEvent
from bot.model import InstallationId, Options, Repo, RunId, RunRequest, TriggerKind
from bot.runs.lifecycle import NewRun
from bot.runs.rates import Quota
from bot.runs.records import Duplicate, Run
from bot.runs.starts import Starts
from bot.runs.store import Store
from bot.web import code_request
from bot.web.code_request import FieldProblem, Wanted
from bot.web.doorkeeper import Doorkeeper
from bot.web.hub import Hub
from bot.web.problems import problem
from bot.web.run_access import unknown
from bot.web.stream import EventStream
from bot.web.visitor import ByKey, Visitor, actor_of, asked_by

_MOST_BODY_BYTES = 1024 * 1024
_MOST_KEY_CHARACTERS = 255
_HOUR = timedelta(hours=1)
log = structlog.get_logger("bot.web.api")


@dataclass(frozen=True)
class Begun:
    """The run, which is the earlier one when its wish came before."""

    run_id: RunId
    opening: StoredEvent | None = None
    """Of a new run the first event."""


@dataclass(frozen=True)
class Declined:
    """No run is begun, and why."""

    status: int
    code: str
    words: str
    wait_seconds: int = 0

    def answer(self) -> Response:
        response = problem(self.status, self.code, self.words)
        if self.wait_seconds:
            response.headers["retry-after"] = str(self.wait_seconds)
        return response


@dataclass(frozen=True)
class CodeApi:
    store: Store
    hub: Hub
    doorkeeper: Doorkeeper
    starts: Starts
    public_url: str
    github_url: str
    models: Collection[str]
    clock: Callable[[], datetime]
    new_run_id: Callable[[], RunId]

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/code", self.start, methods=["POST"]), Route("/code", self.start, methods=["POST"])]

    async def start(self, request: Request) -> Response:
        """A stream that begins at once, or, with `Accept: application/json`, where to find it."""
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return unknown()
        if self.doorkeeper.forged(visitor, request, request.headers.get("x-form-token")):
            return problem(403, "form-token", "This did not come from a page of Backspace. Reload the page.")
        wanted = await self._read(request)
        if isinstance(wanted, Response):
            return wanted
        wish = request.headers.get("idempotency-key")
        if wish is not None and not (wish.isprintable() and wish.isascii() and 1 <= len(wish) <= _MOST_KEY_CHARACTERS):
            return problem(400, "bad-idempotency-key", "Idempotency-Key has 1 to 255 visible characters.")
        begun = await self.begin(visitor, wanted, wish or "")
        return begun.answer() if isinstance(begun, Declined) else self._answer(request, begun)

    async def begin(self, visitor: Visitor, wanted: Wanted, wish: str = "") -> Begun | Declined:
        run_id = self.new_run_id()
        job_key = f"api:{asked_by(visitor)}:{wish or run_id}"
        if wish and (before := await self._before(job_key, wanted)) is not None:
            return before
        if not await self.doorkeeper.may_start(visitor, wanted.full_name):
            return _not_allowed(visitor, wanted)
        new, now = NewRun(run_id, self._request(visitor, wanted), job_key), self.clock()
        started = await self.starts.start(new, now, quota_of(visitor))
        if isinstance(started, timedelta):
            return too_often(started)
        if isinstance(started, Duplicate):
            # The same key came twice at once.
            before = await self._before(job_key, wanted)
            assert before is not None
            return before
        # Of many who ask at once all are answered before the lines are written.
        line = partial(log.info, "run.asked", run=run_id, by=asked_by(visitor), repo=wanted.full_name)
        asyncio.get_running_loop().call_soon(line)
        return Begun(run_id, self.starts.opening(new, now))

    async def _before(self, job_key: str, wanted: Wanted) -> Begun | Declined | None:
        """What a wish that came earlier makes of this one; None when none did."""
        earlier = await self.store.by_wish(job_key)
        if earlier is None:
            return None
        return Begun(earlier.id) if _is_same(wanted, earlier) else _reused()

    async def _read(self, request: Request) -> Wanted | Response:
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type != "application/json":
            return problem(415, "not-json", "The body is JSON: send Content-Type: application/json.")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BODY_BYTES:
                return problem(413, "too-large", f"A request has at most {_MOST_BODY_BYTES} bytes.")
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):
            return problem(400, "not-json", "The body is not JSON.")
        wanted = code_request.read(parsed, github_url=self.github_url, models=self.models)
        return invalid(wanted) if isinstance(wanted, list) else wanted

    def _request(self, visitor: Visitor, wanted: Wanted) -> RunRequest:
        """Nothing is known of the repository yet but its name; GitHub is asked once the run is under way."""
        return RunRequest(
            repo=Repo(0, wanted.full_name, "", private=True),
            installation_id=InstallationId(0),
            trigger=TriggerKind.API,
            actor=actor_of(visitor),
            prompt=wanted.prompt,
            issue=None,
            comment_id=None,
            triggered_at=self.clock(),
            options=Options(base=wanted.base, model=wanted.model, budget_usd=wanted.budget_usd),
            asked_by=asked_by(visitor),
        )

    def _answer(self, request: Request, begun: Begun) -> Response:
        run_id = begun.run_id
        accepted = request.headers.get("accept", "")
        run_url, events_url = f"{self.public_url}/runs/{run_id}", f"{self.public_url}/api/runs/{run_id}/events"
        if "application/json" in accepted and "text/event-stream" not in accepted:
            body = {"request_id": run_id, "run_url": run_url, "events_url": events_url}
            return JSONResponse(body, 202, {"location": f"/api/runs/{run_id}"})
        stream = EventStream(self.hub, run_id, 0, opening=begun.opening)
        stream.headers["x-request-id"] = run_id
        return stream


def invalid(problems: list[FieldProblem]) -> Response:
    """Each field that is wrong is named, in words and for programs."""
    detail = " ".join(f"{one.field}: {one.detail}" for one in problems)
    return problem(422, "invalid", detail, errors=[asdict(one) for one in problems])


def _is_same(wanted: Wanted, earlier: Run) -> bool:
    request = earlier.request
    options = (request.options.base, request.options.model, request.options.budget_usd)
    return code_request.same_wish(wanted, request.repo.full_name, request.prompt, options)


def _reused() -> Declined:
    return Declined(422, "idempotency-key-reused", "This Idempotency-Key came before with another request.")


def _not_allowed(visitor: Visitor, wanted: Wanted) -> Declined:
    match visitor:
        case ByKey(key) if not key.may_run:
            return Declined(403, "key-reads-only", "This key may read runs, not start them.")
        case ByKey():
            return Declined(403, "repository-not-covered", f"This key is not for {wanted.full_name}.")
        case _:
            # A repository that is not there and one that may not be seen look the same.
            words = f"There is no {wanted.full_name} that you may write to and the app is installed on."
            return Declined(404, "no-such-repository", words)


def quota_of(visitor: Visitor) -> Quota | None:
    """How many runs the visitor may start; a person is held by nothing but their rights at GitHub."""
    return Quota(asked_by(visitor), visitor.key.runs_per_hour, _HOUR) if isinstance(visitor, ByKey) else None


def too_often(wait: timedelta) -> Declined:
    """A key has started as many runs as it may."""
    seconds = max(1, -(-wait // timedelta(seconds=1)))
    return Declined(429, "too-often", f"This key has started its runs of this hour; wait {seconds} seconds.", seconds)
