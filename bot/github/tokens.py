"""The App's own token and the installation tokens it mints: one repository, only the permissions asked for."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from bot.github.failures import (
    AppRefused,
    GitHubFailed,
    InstallationGone,
    InstallationSuspended,
    PermissionMissing,
    RepositoryNotInstalled,
    Unavailable,
)
from bot.model import InstallationId
from bot.setting_types import rsa_key

_BACKDATE = timedelta(seconds=60)
_APP_TOKEN_LIFE = timedelta(seconds=540)
_REFRESH_BEFORE_EXPIRY = timedelta(minutes=5)
_TIMEOUT_SECONDS = 10
_MINT_ATTEMPTS = 3


@dataclass(frozen=True)
class Scope:
    """Permissions of one token: `read`, `write` or nothing."""

    contents: str = ""
    issues: str = ""
    pull_requests: str = ""
    actions: str = ""
    metadata: str = ""

    def permissions(self) -> dict[str, str]:
        named = {
            "contents": self.contents,
            "issues": self.issues,
            "pull_requests": self.pull_requests,
            "actions": self.actions,
            "metadata": self.metadata,
        }
        return {name: level for name, level in named.items() if level}


ANSWER = Scope(contents="read", issues="write")
ANSWER_PULL_REQUEST = Scope(contents="read", issues="write", pull_requests="write")
CLONE = Scope(contents="read")
LOGS = Scope(actions="read")
READ_THREAD = Scope(issues="read", pull_requests="read")
PUBLISH = Scope(contents="write", pull_requests="write")


@dataclass(frozen=True)
class _Key:
    installation_id: InstallationId
    repository_id: int
    scope: Scope


@dataclass(frozen=True)
class _Minted:
    token: str
    expires_at: datetime


class Tokens:
    """Mints tokens on demand and keeps each until shortly before it expires."""

    def __init__(
        self,
        *,
        app_id: str,
        private_key: str,
        api_url: str,
        api_version: str,
        http: httpx.AsyncClient,
        clock: Callable[[], datetime],
        on_secret: Callable[[str], None],
        personal_token: str = "",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`on_secret` is told every token, so that it can be redacted by value. Raises AppRefused.

        `personal_token` is what installation 0 stands for: it is used as it is, whatever the scope.
        """
        self._personal_token = personal_token
        self._app_id = app_id
        self._api_url = api_url.rstrip("/")
        self._api_version = api_version
        self._http = http
        self._clock = clock
        self._on_secret = on_secret
        self._sleep = sleep
        self._slug = ""
        self._kept: dict[_Key, _Minted] = {}
        self._minting: dict[_Key, asyncio.Task[_Minted]] = {}
        try:
            self._key = rsa_key(private_key)
        except ValueError as problem:
            raise AppRefused(f"the app's private key {problem}") from None

    def app_token(self) -> str:
        """https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app"""
        now = self._clock()
        claims = {"iat": now - _BACKDATE, "exp": now + _APP_TOKEN_LIFE, "iss": self._app_id}
        return jwt.encode(claims, self._key, algorithm="RS256")

    async def app_slug(self) -> str:
        """The app's name in addresses; its bot's login is this with `[bot]`."""
        if not self._slug:
            response = await self._send("GET", "/app", None)
            if response.status_code != 200:
                raise AppRefused(f"{response.status_code} to GET /app", status=response.status_code)
            self._slug = str(response.json()["slug"])
        return self._slug

    async def ask_as_app(self, path: str) -> tuple[Any, str]:
        """A GET with the app's own credentials: the answer, and the path of the next page, or nothing."""
        async for attempt in self._attempts():
            with attempt:
                response = await self._send("GET", path, None)
                if response.status_code >= 500 or response.status_code == 429:
                    raise Unavailable(f"{response.status_code} to GET {path}", status=response.status_code)
        if response.status_code in (401, 403):
            raise AppRefused(f"{response.status_code} to GET {path}", status=response.status_code)
        if response.status_code != 200:
            raise GitHubFailed(f"{response.status_code} to GET {path}", status=response.status_code)
        following = response.links.get("next", {}).get("url", "")
        try:
            return response.json(), following.removeprefix(self._api_url)
        except ValueError as exc:
            raise Unavailable(f"the answer to GET {path} is not JSON", status=200) from exc

    async def token(self, installation_id: InstallationId, repository_id: int, scope: Scope) -> str:
        """For one repository; 0: for all of the installation, which only `metadata` is asked for.

        Raises InstallationGone, InstallationSuspended, RepositoryNotInstalled, PermissionMissing, AppRefused,
        Unavailable.
        """
        if installation_id == 0:
            if not self._personal_token:
                raise RepositoryNotInstalled("no token stands in where the app is not installed")
            return self._personal_token
        key = _Key(installation_id, repository_id, scope)
        kept = self._kept.get(key)
        if kept and kept.expires_at - self._clock() > _REFRESH_BEFORE_EXPIRY:
            return kept.token
        task = self._minting.get(key)
        if task is None:
            task = asyncio.create_task(self._mint(key))
            task.add_done_callback(lambda done: self._minted(key, done))
            self._minting[key] = task
        # Shielded: a caller that goes away must not take the token from the others who wait for it.
        return (await asyncio.shield(task)).token

    def drop(self, token: str) -> None:
        """Forget a token that GitHub refused."""
        for key, kept in list(self._kept.items()):
            if kept.token == token:
                del self._kept[key]

    def forget(self, installation_id: InstallationId) -> None:
        """Forget all tokens of an installation that was deleted, suspended or changed."""
        for key in [key for key in self._kept if key.installation_id == installation_id]:
            del self._kept[key]

    def _minted(self, key: _Key, task: "asyncio.Task[_Minted]") -> None:
        self._minting.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            self._kept[key] = task.result()

    async def _mint(self, key: _Key) -> _Minted:
        async for attempt in self._attempts():
            with attempt:
                return await self._mint_once(key)
        raise AssertionError("unreachable")  # AsyncRetrying returns or raises

    def _attempts(self) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(Unavailable),
            stop=stop_after_attempt(_MINT_ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.2, max=2),
            sleep=self._sleep,
            reraise=True,
        )

    async def _mint_once(self, key: _Key) -> _Minted:
        body: dict[str, Any] = {"permissions": key.scope.permissions()}
        if key.repository_id:
            body["repository_ids"] = [key.repository_id]
        response = await self._send("POST", f"/app/installations/{key.installation_id}/access_tokens", body)
        if response.status_code != 201:
            raise _refusal(response, key)
        minted = _parse(response)
        self._on_secret(minted.token)
        return minted

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        headers = {
            "Authorization": f"Bearer {self.app_token()}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": self._api_version,
        }
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                return await self._http.request(method, self._api_url + path, json=body, headers=headers)
        except (httpx.TransportError, TimeoutError) as exc:
            raise Unavailable(f"{method} {path}: {type(exc).__name__}") from exc


def _parse(response: httpx.Response) -> _Minted:
    try:
        answer: dict[str, Any] = response.json()
        # fromisoformat takes GitHub's `Z`, with milliseconds or without.
        return _Minted(str(answer["token"]), datetime.fromisoformat(answer["expires_at"]))
    except (ValueError, KeyError, TypeError) as exc:
        raise Unavailable("GitHub's answer to the minting of a token cannot be read", status=201) from exc


def _refusal(response: httpx.Response, key: _Key) -> GitHubFailed:
    """GitHub tells the 422s apart only by their words."""
    status = response.status_code
    try:
        message = str(response.json().get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    words = message.lower()
    installation = f"installation {key.installation_id}"
    wanted = ", ".join(f"{name}: {level}" for name, level in key.scope.permissions().items())
    kind: type[GitHubFailed] = GitHubFailed
    text = f"{status} while minting a token: {message}"
    if status >= 500 or status == 429:
        kind = Unavailable
    elif status == 401 or "integration not found" in words:
        kind = AppRefused
    elif status == 404:
        kind, text = InstallationGone, f"{installation} does not exist"
    elif status == 403 and "suspended" in words:
        kind, text = InstallationSuspended, f"{installation} is suspended"
    elif status == 422 and "repositor" in words:
        kind, text = RepositoryNotInstalled, f"{installation} does not include repository {key.repository_id}"
    elif status in (403, 422):
        kind, text = PermissionMissing, f"{installation} does not grant {wanted} ({message})"
    return kind(text, status=status)
