"""Registering the app by a manifest: what GitHub is asked for, and the app that comes of it.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from pydantic import SecretStr

from bot import certificates
from bot.github.app import EVENTS, PERMISSIONS
from bot.github.failures import GitHubFailed, Unavailable
from bot.setting_types import private_key

NAME = "Backspace"
DESCRIPTION = "Comment /backspace on an issue, get a pull request with evidence."
"""Both as app.yml has them."""

_TIMEOUT_SECONDS = 20
_USER_AGENT = "backspace"
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


class RegistrationRefused(GitHubFailed):
    """GitHub does not accept the code that the person came back with."""

    code = "registration-refused"
    next_step = "Register the app again; a code is good for one use within an hour."


@dataclass(frozen=True)
class Registered:
    """A new app, with the only copy of its secrets."""

    id: int
    name: str
    owner: str
    page: str
    """Its public page."""
    client_id: str
    client_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    """Empty for an app without a webhook."""
    private_key: str = field(repr=False)

    @property
    def install_page(self) -> str:
        return f"{self.page}/installations/new"


def manifest(*, public_url: str, redirect_url: str) -> dict[str, object]:
    """`redirect_url`: where the browser is sent back to with the code."""
    public_url = public_url.rstrip("/")
    return {
        "name": NAME,
        "description": DESCRIPTION,
        "url": public_url,
        "hook_attributes": {"url": f"{public_url}/webhook"},
        "redirect_url": redirect_url,
        "callback_urls": [f"{public_url}/login/callback"],
        "setup_url": f"{public_url}/setup",
        "public": False,
        "default_permissions": dict(PERMISSIONS),
        "default_events": list(EVENTS),
    }


def is_organization(name: str) -> bool:
    return _ORGANIZATION.fullmatch(name) is not None


def form_address(web_url: str, *, organization: str, state: str) -> str:
    """Where the form with the manifest goes; without an organization, to the person's own account."""
    account = f"/organizations/{quote(organization, safe='')}" if organization else ""
    return f"{web_url.rstrip('/')}{account}/settings/apps/new?{urlencode({'state': state})}"


class Registrar:
    def __init__(self, http: httpx.AsyncClient, *, api_url: str, api_version: str) -> None:
        self._http = http
        self._api_url = api_url.rstrip("/")
        self._api_version = api_version

    async def convert(self, code: str) -> Registered:
        """Raises RegistrationRefused, Unavailable and GitHubFailed.

        https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest
        """
        if not _CODE.fullmatch(code):
            raise RegistrationRefused
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": self._api_version}
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                answer = await self._http.post(f"{self._api_url}/app-manifests/{code}/conversions", headers=headers)
        except (httpx.TransportError, TimeoutError) as error:
            # Not chained to a log with the request: the code is in it.
            raise Unavailable(f"POST /app-manifests/…/conversions: {type(error).__name__}") from None
        status = answer.status_code
        if status in (404, 422):
            raise RegistrationRefused(f"{status} to POST /app-manifests/…/conversions", status=status)
        if status >= 500 or status == 429:
            raise Unavailable(f"{status} to POST /app-manifests/…/conversions", status=status)
        if status != 201:
            raise GitHubFailed(f"{status} to POST /app-manifests/…/conversions", status=status)
        return _registered(answer)


def _registered(answer: httpx.Response) -> Registered:
    try:
        body: dict[str, Any] = answer.json()
        return Registered(
            id=int(body["id"]),
            name=str(body["name"]),
            owner=str((body.get("owner") or {}).get("login") or ""),
            page=str(body["html_url"]),
            client_id=str(body["client_id"]),
            client_secret=str(body["client_secret"]),
            webhook_secret=str(body.get("webhook_secret") or ""),
            private_key=private_key(SecretStr(str(body["pem"]))).get_secret_value(),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        # Not chained: what could not be read has secrets in it.
        raise GitHubFailed("GitHub's answer to the code cannot be read", status=answer.status_code) from None


@asynccontextmanager
async def connect(*, api_url: str, api_version: str) -> AsyncIterator[Registrar]:
    async with httpx.AsyncClient(
        verify=certificates.trusted(), trust_env=False, headers={"User-Agent": _USER_AGENT}
    ) as http:
        yield Registrar(http, api_url=api_url, api_version=api_version)
