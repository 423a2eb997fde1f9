"""One call of either API: what it asked, what it is answered, and both held against the description."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.daytona.description import Description
from tests.fakes.daytona.faults import Fault, Plan
from tests.fakes.daytona.state import Refused

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    request: Request
    body: Json
    """Of JSON; empty where there is none."""
    plan: Plan | None

    def fault(self, fault: Fault) -> bool:
        return self.plan is not None and self.plan.fault is fault

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Json | list[Any] | str | None = None
    without: tuple[str, ...] = ()
    """Left out of what was found to be right: an older server's answer."""


Handler = Callable[[Call], Awaitable[Answer | Response]]


@dataclass(frozen=True)
class Api:
    """Where its paths begin, who says that something is wrong, and where mistakes of either side are noted."""

    prefix: str
    source: str
    described: Description | None
    problems: list[str]

    def route(self, method: str, template: str, handler: Handler, *, body: bool = True) -> Route:
        """`template` is the description's. `body=False`: what is sent is no JSON."""

        async def endpoint(request: Request) -> Response:
            text = await request.body() if body else b""
            call = Call(request, json.loads(text) if text else {}, request.scope.get("plan"))
            if self.described:
                given = call.body if text else None
                self.problems.extend(self.described.request(method, template, request.query_params.keys(), given))
            try:
                found = await handler(call)
            except Refused as error:
                return refusal(request, error, self.source)
            if isinstance(found, Response):
                return found
            if self.described:
                self.problems.extend(self.described.answer(method, template, found.status, found.body))
            if isinstance(found.body, dict) and found.without:
                return JSONResponse({k: v for k, v in found.body.items() if k not in found.without}, found.status)
            return Response(status_code=found.status) if found.body is None else JSONResponse(found.body, found.status)

        return Route(self.prefix + template, endpoint, methods=[method])


def refusal(
    request: HTTPConnection, error: Refused, source: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    body = {
        "statusCode": error.status,
        "message": error.message,
        "path": request.url.path,
        "method": request.scope.get("method", "GET"),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "source": source,
    }
    return JSONResponse(body | ({"code": error.code} if error.code else {}), error.status, headers)
