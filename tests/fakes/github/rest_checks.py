"""REST: the log of a job of GitHub Actions, which lies behind a signed address elsewhere."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.fakes.github.answers import Answer, not_found
from tests.fakes.github.operations import Call, operation
from tests.fakes.github.world import CheckRun

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub


@operation("GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}/logs", needs="actions=read")
def get_job_log(call: Call) -> Answer:
    found = call.repository.check_runs.get(call.number("job_id"))
    if found is None or not found.log:
        raise not_found()
    location = f"{call.parts.links.web}/_logs/{call.repository.id}/{found.id}?sig={_signature(found)}"
    return Answer(302, headers={"location": location})


def _signature(run: CheckRun) -> str:
    return hashlib.sha256(f"{run.id} {run.head_sha}".encode()).hexdigest()


def log_routes(fake: FakeGitHub) -> list[Route]:
    async def endpoint(request: Request) -> Response:
        repository = fake.world.repositories.get(request.path_params["repository"])
        found = repository.check_runs.get(request.path_params["job"]) if repository else None
        # The storage behind such an address refuses what is authorised twice.
        if found is None or request.query_params.get("sig") != _signature(found) or "authorization" in request.headers:
            return PlainTextResponse("AuthenticationFailed", 403)
        return PlainTextResponse(found.log)

    return [Route("/_logs/{repository:int}/{job:int}", endpoint)]
