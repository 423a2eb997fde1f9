"""The REST API as an ASGI application: faults, limits, access and answers, in that order."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from tests.fakes.github import rest_app, rest_checks, rest_git, rest_issues, rest_pulls, rest_repository
from tests.fakes.github.access import Anonymous, Caller
from tests.fakes.github.answers import Answer, Refusal, not_found
from tests.fakes.github.audit import Audit, Exchange
from tests.fakes.github.faults import Fault, Faults, Plan
from tests.fakes.github.log import Log
from tests.fakes.github.operations import Call, Operation, Parts, described_path, find, is_app, templates
from tests.fakes.github.shapes import Json
from tests.fakes.github.wire import drop, read_body, respond
from tests.fakes.github.world import Repository

__all__ = ["Rest", "rest_app", "rest_checks", "rest_git", "rest_issues", "rest_pulls", "rest_repository"]

_VERSIONS = ("2022-11-28", "2026-03-10")
_SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
_SECONDARY_WAIT_SECONDS = 60
_ROOTS = frozenset(template.split("/")[1] for template in templates()) | {"repositories"}
_UNCOUNTED = ("/rate_limit",)


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    """Raw, behind the API prefix."""
    query: dict[str, str]
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class _Handled:
    answer: Answer
    route: str
    caller: str
    exchange: Exchange | None = None


class Rest:
    def __init__(self, parts: Parts, faults: Faults, audit: Audit, log: Log) -> None:
        self._parts = parts
        self._faults = faults
        self._audit = audit
        self._log = log
        self._workers = ThreadPoolExecutor(16, thread_name_prefix="github-rest")

    def concerns(self, path: str) -> bool:
        """Without a prefix the API and the pages share the root, as they never do on GitHub."""
        prefix = self._parts.links.api_prefix
        return path.startswith(f"{prefix}/") if prefix else path.split("/")[1] in _ROOTS

    def close(self) -> None:
        self._workers.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw = scope.get("raw_path") or scope["path"].encode()
        request = _Request(
            method=scope["method"],
            path=raw.decode("latin-1").partition("?")[0].removeprefix(self._parts.links.api_prefix),
            query=dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
            headers=Headers(scope=scope),
            body=await read_body(receive),
        )
        plan = self._faults.take(request.method, unquote(request.path))
        if plan and plan.fault is Fault.SLOW:
            await asyncio.sleep(plan.seconds)
        instead = _before(plan)
        if plan and plan.fault is Fault.DROP:
            self._log.add(request.method, request.path, 0, "api", fault=plan.fault)
            await drop(send)
            return
        if instead:
            handled = _Handled(instead, "", "")
        else:
            handled = await asyncio.get_running_loop().run_in_executor(self._workers, self._handle, request)
        answer = handled.answer
        if plan and plan.fault is Fault.BAD_GATEWAY_AFTER:
            answer = replace(Refusal(502, "Server Error").answer(), deliveries=answer.deliveries)
        if handled.exchange:  # before the caller has its answer, and asks what is wrong with it
            self._audit.submit(handled.exchange)
        fault = plan.fault if plan else None
        if plan and plan.fault is Fault.DROP_AFTER:
            self._log.add(
                request.method, request.path, 0, "api", route=handled.route, caller=handled.caller, fault=fault
            )
            await drop(send)
        else:
            self._log.add(
                request.method,
                request.path,
                answer.status,
                "api",
                route=handled.route,
                caller=handled.caller,
                fault=fault,
            )
            await respond(send, answer.status, answer.content(), {"content-type": answer.media, **answer.headers})
        for outgoing in answer.deliveries:
            self._parts.forge.hooks.send_later(outgoing)
        self._log.changed()

    # In a worker thread, from here on.

    def _handle(self, request: _Request) -> _Handled:
        found = find(request.method, self._by_name(request.path))
        if found is None:
            self._log.problem(f"{request.method} {request.path}: the stand-in has no such operation")
            return _Handled(self._finished(not_found().answer(), Anonymous(), request), "", "")
        operation, params = found
        route = f"{operation.method} {operation.template}"
        caller: Caller = Anonymous()
        try:
            caller = self._parts.access.identify(request.headers.get("authorization"))
            answer = self._perform(operation, params, caller, request)
        except Refusal as refusal:
            answer = refusal.answer()
        except Exception as error:
            self._log.problem(f"{route}: the stand-in failed: {error!r}")
            raise
        answer = self._finished(answer, caller, request)
        exchange = Exchange(
            method=operation.method,
            template=operation.template,
            path=described_path(operation.template, params),
            query=request.query,
            request_headers=request.headers,
            request_body=request.body,
            status=answer.status,
            media=answer.media,
            answer_body=answer.content(),
        )
        return _Handled(answer, route, caller.name, exchange)

    def _by_name(self, path: str) -> str:
        """`/repositories/{id}/…` is the other address of `/repos/{owner}/{repo}/…`."""
        first, _, rest = path.removeprefix("/repositories/").partition("/")
        if path.startswith("/repositories/") and first.isdecimal():
            repository = self._parts.world.repositories.get(int(first))
            if repository:
                return f"/repos/{repository.full_name}" + (f"/{rest}" if rest else "")
        return path

    def _perform(self, operation: Operation, params: dict[str, str], caller: Caller, request: _Request) -> Answer:
        self._check_client(request)
        self._spend(operation, caller)
        if operation.app_only and not is_app(caller):
            raise Refusal(401, "A JSON web token could not be decoded")
        repository: Repository | None = None
        if operation.needs is not None:
            full_name = f"{params['owner']}/{params['repo']}"
            repository = self._parts.world.repository(full_name)
            if repository is None:
                return self._moved(full_name, request)
            self._parts.access.require(caller, repository, operation.needs, write=operation.write)
        body = _parsed(request.body)
        return operation.handler(
            Call(
                parts=self._parts,
                caller=caller,
                params=params,
                query=request.query,
                body=body if isinstance(body, dict) else {},
                raw_body=body,
                accept=request.headers.get("accept", ""),
                url=f"{self._parts.links.api}{request.path}",
                found=repository,
            )
        )

    @staticmethod
    def _check_client(request: _Request) -> None:
        if not request.headers.get("user-agent"):
            raise Refusal(
                403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
            )
        version = request.headers.get("x-github-api-version")
        if version and version not in _VERSIONS:
            raise Refusal(400, f"{version} is not a supported version of the API")

    def _spend(self, operation: Operation, caller: Caller) -> None:
        if operation.template in _UNCOUNTED:
            return
        now, limits = self._parts.world.clock(), self._parts.limits
        wait = limits.secondary_wait(caller.name, now, write=operation.write, content=operation.content)
        if wait is not None:
            raise Refusal(403, _SECONDARY, headers={"retry-after": str(wait)})
        if not limits.spend(caller.name, now):
            raise Refusal(403, f"API rate limit exceeded for {caller.name}.")

    def _moved(self, full_name: str, request: _Request) -> Answer:
        """A renamed repository: 301 to a GET, 307 to anything else, both to its number."""
        number = self._parts.world.former_names.get(full_name.lower())
        if number is None:
            raise not_found()
        rest = request.path.removeprefix(f"/repos/{full_name}")
        url = f"{self._parts.links.api}/repositories/{number}{rest}"
        moved = request.method == "GET"
        body: Json = {
            "message": "Moved Permanently" if moved else "Temporary Redirect",
            "url": url,
            "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
        }
        return Answer(301 if moved else 307, body, {"location": url})

    def _finished(self, answer: Answer, caller: Caller, request: _Request) -> Answer:
        """With the headers of every answer; a GET whose content the caller has already is a 304."""
        now, limits = self._parts.world.clock(), self._parts.limits
        headers = {**answer.headers}
        if request.method == "GET" and answer.status == 200:
            etag = f'W/"{hashlib.sha256(answer.content()).hexdigest()}"'
            headers["etag"] = etag
            if request.headers.get("if-none-match") == etag:
                limits.refund(caller.name, now)
                answer = Answer(304)
        answer = replace(answer, body=answer.content())
        headers |= limits.standing(caller.name, now).headers()
        headers["x-github-request-id"] = uuid.uuid4().hex[:20].upper()
        headers["x-github-media-type"] = "github.v3; format=json"
        version = request.headers.get("x-github-api-version")
        if version:
            headers["x-github-api-version-selected"] = version
        return replace(answer, headers=headers)


def _parsed(body: bytes) -> object:
    if not body:
        return {}
    try:
        parsed: object = json.loads(body)
    except ValueError:
        raise Refusal(400, "Problems parsing JSON") from None
    return parsed


def _before(plan: Plan | None) -> Answer | None:
    """The answer of a fault that keeps the work from being done."""
    if plan is None:
        return None
    wait = {} if plan.retry_after_seconds is None else {"retry-after": str(plan.retry_after_seconds)}
    made: dict[Fault, Callable[[], Refusal]] = {
        Fault.SERVER_ERROR: lambda: Refusal(500, "Server Error"),
        Fault.TOO_MANY: lambda: Refusal(429, _SECONDARY, headers=wait or {"retry-after": "1"}),
        Fault.SECONDARY_LIMIT: lambda: Refusal(
            403, _SECONDARY, headers=wait or {"retry-after": str(_SECONDARY_WAIT_SECONDS)}
        ),
        Fault.UNAUTHORIZED: lambda: Refusal(401, "Bad credentials"),
    }
    return made[plan.fault]().answer() if plan.fault in made else None
