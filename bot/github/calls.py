"""One call to GitHub's REST API: token, limits, deadline, retries, renames; the only module that knows githubkit."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import githubkit
import httpx
from githubkit.exception import RequestError, RequestFailed
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from bot.github import refusals
from bot.github.answers import At, Json
from bot.github.failures import NotFound, RateLimited, Unauthorized, Unavailable
from bot.github.limits import READ, Limits, Weight
from bot.github.tokens import Scope, Tokens

T = TypeVar("T")

_TIMEOUT_SECONDS = 15
_DEADLINE_SECONDS = 20
_ATTEMPTS = 4
_MAX_CONNECTIONS = 40
_USER_AGENT = "backspace"
_NEXT_PAGE = re.compile(r'<([^>]+)>;\s*rel="next"')


@dataclass(frozen=True)
class Reply:
    status: int
    body: Json
    """None when the answer has no body."""
    has_next_page: bool = False
    location: str = ""
    """Where the answer itself lies, when that is elsewhere."""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    scope: Scope
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str | int] | None = None
    weight: Weight = READ
    urgent: bool = False
    below_repository: bool = True
    accept: str = ""


class _Moved(Exception):
    """The repository answers under another name now."""


class _KeptOpen(httpx.AsyncBaseTransport):
    """githubkit closes its transport after every call; connections should outlive that."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        pass

    async def really_close(self) -> None:
        await self._transport.aclose()


class Calls:
    def __init__(
        self,
        *,
        api_url: str,
        api_version: str,
        tokens: Tokens,
        limits: Limits,
        tls: ssl.SSLContext,
        proxy: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api_url = httpx.URL(api_url)
        self._headers = {"X-GitHub-Api-Version": api_version}
        self._tokens = tokens
        self._limits = limits
        self._tls = tls
        self._sleep = sleep
        self._names: dict[int, str] = {}
        self._transport = _KeptOpen(
            httpx.AsyncHTTPTransport(
                verify=tls, proxy=proxy, limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=30)
            )
        )

    async def aclose(self) -> None:
        await self._transport.really_close()

    def full_name(self, at: At) -> str:
        """The repository's name as last learned: a rename is noticed at the first call after it."""
        return self._names.get(at.repo.id, at.repo.full_name)

    async def send(
        self,
        at: At,
        method: str,
        path: str,
        *,
        scope: Scope,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str | int] | None = None,
        weight: Weight = READ,
        urgent: bool = False,
        accept: str = "",
    ) -> Reply:
        """A call that may be repeated freely. `path` is below the repository. Raises GitHubFailed subclasses."""
        request = _Request(method, path, scope, body, params, weight, urgent, accept=accept)
        async for attempt in self._attempts():
            with attempt:
                return await self._once(at, request)
        raise AssertionError("unreachable")  # AsyncRetrying returns or raises

    async def location(self, at: At, path: str, *, scope: Scope) -> str:
        """Where GitHub keeps what is at `path`: an address that is signed, and so needs no token."""
        return (await self.send(at, "GET", path, scope=scope)).location

    async def look_up(self, at: At, path: str, *, scope: Scope) -> Reply:
        """A GET of something outside the repository."""
        request = _Request("GET", path, scope, below_repository=False)
        async for attempt in self._attempts():
            with attempt:
                return await self._once(at, request)
        raise AssertionError("unreachable")  # AsyncRetrying returns or raises

    async def create(
        self,
        at: At,
        path: str,
        *,
        scope: Scope,
        body: Mapping[str, Any],
        parse: Callable[[Json], T],
        find: Callable[[], Awaitable[T | None]],
        weight: Weight,
        urgent: bool = False,
    ) -> T:
        """A POST. It is repeated only after `find` has shown that the first one did not take effect."""
        request = _Request("POST", path, scope, body, None, weight, urgent)
        async for attempt in self._attempts():
            with attempt:
                if attempt.retry_state.attempt_number > 1 and (found := await find()) is not None:
                    return found
                return parse((await self._once(at, request)).body)
        raise AssertionError("unreachable")  # AsyncRetrying returns or raises

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception(self._is_worth_another),
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=3),
            sleep=self._sleep,
            reraise=True,
        )

    def _is_worth_another(self, failure: BaseException) -> bool:
        if isinstance(failure, RateLimited):
            return self._limits.worth_waiting(failure)
        return isinstance(failure, Unavailable)

    async def _once(self, at: At, request: _Request) -> Reply:
        """One call that takes effect at most once: a refused token and a moved repository have done nothing."""
        for renewed in (False, True):
            token = await self._tokens.token(at.installation_id, at.repo.id, request.scope)
            url = f"/repos/{quote(self.full_name(at))}{request.path}" if request.below_repository else request.path
            async with self._limits.slot(at.installation_id, request.weight, urgent=request.urgent):
                try:
                    return await self._exchange(at, token, url, request)
                except Unauthorized:
                    self._tokens.drop(token)
                    if renewed:
                        raise
                except _Moved:
                    if renewed:
                        raise NotFound("the repository moved twice during one call") from None
                    await self._learn_name(at, token)
        raise AssertionError("unreachable")  # the second round returns or raises

    async def _learn_name(self, at: At, token: str) -> None:
        """https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects"""
        request = _Request("GET", f"/repositories/{at.repo.id}", Scope(), below_repository=False)
        reply = await self._exchange(at, token, request.path, request)
        self._names[at.repo.id] = str(reply.body["full_name"])

    async def _exchange(self, at: At, token: str, url: str, request: _Request) -> Reply:
        call = f"{request.method} {url}"
        headers = {**self._headers, **({"Accept": request.accept} if request.accept else {})}
        github = githubkit.GitHub(
            token,
            base_url=self._api_url,
            user_agent=_USER_AGENT,
            timeout=_TIMEOUT_SECONDS,
            ssl_verify=self._tls,
            trust_env=False,
            async_transport=self._transport,
            # httpx would make a GET of a redirected POST.
            follow_redirects=False,
            http_cache=False,
            auto_retry=False,
        )
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                # `arequest`, because the typed methods exist only for the versions whose models are installed.
                answer = await github.arequest(
                    request.method, url, json=request.body, params=request.params, headers=headers
                )
                response = answer.raw_response
        except RequestFailed as exc:
            response = exc.response.raw_response
        except RequestError as exc:
            if not isinstance(exc.exc, httpx.TransportError):
                raise
            raise Unavailable(f"{call}: {type(exc.exc).__name__}") from exc
        except TimeoutError as exc:
            raise Unavailable(f"{call}: no answer within {_DEADLINE_SECONDS} s") from exc
        return self._read(at, call, response)

    def _read(self, at: At, call: str, response: httpx.Response) -> Reply:
        if response.status_code == httpx.codes.FOUND:
            return Reply(response.status_code, None, location=response.headers.get("location", ""))
        if response.is_redirect:
            raise _Moved
        try:
            body = response.json() if response.content else None
        except ValueError as exc:
            if response.is_success:
                raise Unavailable(f"{call}: the answer is not JSON", status=response.status_code) from exc
            body = None
        refusal = refusals.Refusal.parse(call, response.status_code, response.headers, body)
        limited = self._limits.learn(
            at.installation_id, status=response.status_code, headers=response.headers, message=refusal.message
        )
        if limited:
            raise limited
        if response.is_success:
            return Reply(response.status_code, body, bool(_NEXT_PAGE.search(response.headers.get("link", ""))))
        raise refusal.failure()
