"""Which run a request is about, and who asks; what may not be seen looks like what is not there."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from bot.model import RunId
from bot.runs.records import Run
from bot.runs.store import Store
from bot.web.doorkeeper import Doorkeeper
from bot.web.problems import problem
from bot.web.visitor import Visitor

_LONGEST_ID = 100


@dataclass(frozen=True)
class Seen:
    visitor: Visitor
    run: Run


async def seen(request: Request, doorkeeper: Doorkeeper, store: Store) -> Seen | Response:
    """By `run_id` in the path; else the problem to answer with."""
    visitor = await doorkeeper.who(request)
    if visitor is None:
        return unknown()
    run_id = request.path_params["run_id"]
    # What no database takes as a text cannot be the id of a run.
    run = await store.run(RunId(run_id)) if len(run_id) <= _LONGEST_ID and "\0" not in run_id else None
    if run is None or not await doorkeeper.may_read(visitor, run):
        return absent()
    return Seen(visitor, run)


def unknown() -> Response:
    response = problem(401, "unauthorized", "Bring an API key (`Authorization: Bearer …` or `X-API-Key`), or sign in.")
    response.headers["www-authenticate"] = "Bearer"
    return response


def absent() -> Response:
    return problem(404, "no-such-run", "There is no such run, or you may not see it.")
