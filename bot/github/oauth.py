"""Signing in with GitHub: where a person is sent, and who came back. The person's token is used once and revoked."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx

from bot import certificates
from bot.github.failures import GitHubFailed, Unavailable
from bot.model import Actor

_TIMEOUT_SECONDS = 10
_USER_AGENT = "backspace"


class CodeRefused(GitHubFailed):
    """GitHub does not accept the code that the person came back with."""

    code = "code-refused"
    next_step = "Sign in again; a code is good for one use within ten minutes."


class ClientRefused(GitHubFailed):
    """GitHub does not accept the app's client id, client secret or callback address."""

    code = "client-refused"
    next_step = "Check GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET and the callback URL in the app's settings on GitHub."


_OF_THE_CLIENT = frozenset({"incorrect_client_credentials", "redirect_uri_mismatch", "application_suspended"})


class OAuth:
    """https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app"""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        client_id: str,
        client_secret: str,
        api_url: str,
        web_url: str,
        api_version: str,
    ) -> None:
        self._http = http
        self._client_id = client_id
        self._client_secret = client_secret
        self._api_url = api_url.rstrip("/")
        self._web_url = web_url.rstrip("/")
        self._api_version = api_version

    def page(self, *, redirect_uri: str, state: str, challenge: str) -> str:
        """Where the person says yes. `challenge`: PKCE's, S256."""
        query = {
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._web_url}/login/oauth/authorize?{urlencode(query)}"

    async def who(self, *, code: str, redirect_uri: str, verifier: str) -> Actor:
        """Raises CodeRefused, ClientRefused, GitHubFailed and Unavailable."""
        token = await self._exchange(code, redirect_uri, verifier)
        try:
            return await self._person(token)
        finally:
            await self._revoke(token)

    async def _exchange(self, code: str, redirect_uri: str, verifier: str) -> str:
        form = {
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        answer = await self._send("POST", f"{self._web_url}/login/oauth/access_token", headers=headers, data=form)
        body = _body(answer, "a code")
        # GitHub answers its refusals with 200, too.
        error = str(body.get("error") or "")
        if error in _OF_THE_CLIENT or answer.status_code in (401, 404):
            raise ClientRefused(f"GitHub refused the app: {error}", status=answer.status_code)
        if error:
            raise CodeRefused(f"GitHub refused the code: {error}", status=answer.status_code)
        token = body.get("access_token")
        if not isinstance(token, str) or not token:
            raise GitHubFailed("GitHub's answer to a code has no token", status=answer.status_code)
        return token

    async def _person(self, token: str) -> Actor:
        headers = {**self._headers(), "Authorization": f"Bearer {token}"}
        answer = await self._send("GET", f"{self._api_url}/user", headers=headers)
        if answer.status_code != 200:
            raise GitHubFailed(f"{answer.status_code} to GET /user", status=answer.status_code)
        body = _body(answer, "GET /user")
        try:
            return Actor(int(body["id"]), str(body["login"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GitHubFailed("GitHub's answer to GET /user cannot be read", status=200) from error

    async def _revoke(self, token: str) -> None:
        """As far as GitHub lets us: a token that stays is kept nowhere, and GitHub lets it expire.

        https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token
        """
        url = f"{self._api_url}/applications/{self._client_id}/token"
        credentials = httpx.BasicAuth(self._client_id, self._client_secret)
        try:
            await self._send("DELETE", url, headers=self._headers(), json={"access_token": token}, auth=credentials)
        except Unavailable:
            return

    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": self._api_version}

    async def _send(self, method: str, url: str, **request: Any) -> httpx.Response:  # noqa: ANN401 -- httpx's own
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer = await self._http.request(method, url, **request)
        except (httpx.TransportError, TimeoutError) as error:
            # Not chained to a log with the request: it has the secret in it.
            raise Unavailable(f"{method} {url}: {type(error).__name__}") from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unavailable(f"{answer.status_code} to {method} {url}", status=answer.status_code)
        return answer


def _body(answer: httpx.Response, call: str) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise GitHubFailed(f"GitHub's answer to {call} cannot be read", status=answer.status_code)
    return body


@asynccontextmanager
async def connect(
    *,
    client_id: str,
    client_secret: str,
    api_url: str,
    web_url: str,
    api_version: str,
    proxy: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[OAuth]:
    async with httpx.AsyncClient(
        verify=tls or certificates.trusted(),
        proxy=proxy,
        trust_env=False,
        headers={"User-Agent": _USER_AGENT},
    ) as http:
        yield OAuth(
            http,
            client_id=client_id,
            client_secret=client_secret,
            api_url=api_url,
            web_url=web_url,
            api_version=api_version,
        )
