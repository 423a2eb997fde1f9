"""What GitHub tells the app itself: its deliveries, and what its installations hold."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

from bot.github import answers
from bot.github.answers import At
from bot.github.calls import Calls
from bot.github.failures import GitHubFailed, NotFound, RepositoryNotInstalled
from bot.github.tokens import Scope, Tokens
from bot.intake.webhook import RepoName
from bot.model import InstallationId, Repo

PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "checks": "read",
}
EVENTS = (
    *("issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"),
    "check_run",
)
"""As app.yml has them."""

_PAGE = 100
_EVERYTHING = Scope(metadata="read")
_FULL_NAME = re.compile(r"[A-Za-z0-9_-]+/(?!\.{1,2}$)[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Attempt:
    """One attempt of GitHub's to deliver. A redelivery has the same `guid` and another `id`."""

    id: int
    guid: str
    delivered_at: datetime
    arrived: bool
    """We answered it with a 2xx."""
    event: str


@dataclass(frozen=True)
class Attempts:
    """A page of them, newest first. `rest`: where it goes on; empty at the end."""

    attempts: tuple[Attempt, ...]
    rest: str


@dataclass(frozen=True)
class Sent:
    """What GitHub sent, or tried to."""

    headers: Mapping[str, str]
    payload: Mapping[str, Any]


class Standing(Enum):
    """How an installation stands now."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    GONE = "gone"


@dataclass(frozen=True)
class Registration:
    """The app as its settings page on GitHub has it."""

    slug: str
    name: str
    page: str
    """Its public page."""
    permissions: Mapping[str, str]
    events: frozenset[str]
    installations: int


class App:
    """All methods raise GitHubFailed."""

    def __init__(self, tokens: Tokens, calls: Calls, *, web_url: str) -> None:
        self._tokens = tokens
        self._calls = calls
        self._web_url = web_url.rstrip("/")

    async def registration(self) -> Registration:
        """https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app"""
        body, _ = await self._tokens.ask_as_app("/app")
        try:
            permissions = {str(name): str(level) for name, level in body["permissions"].items()}
            return Registration(
                slug=str(body["slug"]),
                name=str(body["name"]),
                page=str(body["html_url"]),
                permissions=permissions,
                events=frozenset(map(str, body["events"])),
                installations=int(body.get("installations_count") or 0),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise GitHubFailed("what the app may do cannot be read") from error

    async def webhook_url(self) -> str:
        """https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app"""
        body, _ = await self._tokens.ask_as_app("/app/hook/config")
        try:
            return str(body.get("url") or "")
        except AttributeError as error:
            raise GitHubFailed("the app's webhook cannot be read") from error

    async def attempts(self, rest: str = "") -> Attempts:
        """https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook"""
        body, following = await self._tokens.ask_as_app(rest or f"/app/hook/deliveries?per_page={_PAGE}")
        try:
            return Attempts(tuple(_attempt(item) for item in body), following)
        except (KeyError, TypeError, ValueError) as error:
            raise GitHubFailed("the list of deliveries cannot be read") from error

    async def sent(self, attempt: Attempt) -> Sent:
        """https://docs.github.com/en/rest/apps/webhooks#get-a-delivery-for-an-app-webhook"""
        body, _ = await self._tokens.ask_as_app(f"/app/hook/deliveries/{attempt.id}")
        try:
            request = body["request"]
            return Sent(dict(request["headers"]), dict(request["payload"]))
        except (KeyError, TypeError, ValueError) as error:
            raise GitHubFailed("a delivery cannot be read") from error

    async def repositories(self, installation: InstallationId) -> AsyncIterator[tuple[RepoName, ...]]:
        """All that the installation may use, a page at a time."""
        at = At(installation, Repo(0, "", "", private=True))
        number, more = 1, True
        while more:
            path = f"/installation/repositories?per_page={_PAGE}&page={number}"
            reply = await self._calls.look_up(at, path, scope=_EVERYTHING)
            try:
                page = tuple(RepoName(int(one["id"]), str(one["full_name"])) for one in reply.body["repositories"])
            except (KeyError, TypeError, ValueError) as error:
                raise GitHubFailed("the list of repositories cannot be read") from error
            yield page
            number, more = number + 1, reply.has_next_page

    async def standing(self, installation: InstallationId) -> Standing:
        """https://docs.github.com/en/rest/apps/apps#get-an-installation-for-the-authenticated-app"""
        try:
            body, _ = await self._tokens.ask_as_app(f"/app/installations/{installation}")
        except GitHubFailed as error:
            if error.status == 404:
                return Standing.GONE
            raise
        return Standing.SUSPENDED if body.get("suspended_at") else Standing.ACTIVE

    async def installation_of(self, full_name: str) -> At | None:
        """Where calls to the repository go, with its id and default branch; None when the app is not installed there.

        None also for one that does not exist, or not under this name any more.
        https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app
        """
        if not _FULL_NAME.fullmatch(full_name):
            return None
        path = f"/repos/{quote(full_name)}"
        try:
            installation, _ = await self._tokens.ask_as_app(f"{path}/installation")
            at = At(InstallationId(int(installation["id"])), Repo(0, "", "", private=True))
            reply = await self._calls.look_up(at, path, scope=_EVERYTHING)
            return At(at.installation_id, answers.repository(reply.body))
        except NotFound:
            return None
        except GitHubFailed as error:
            if error.status in (301, 404):
                return None
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise GitHubFailed("where the app is installed cannot be read") from error

    async def installation_page(self) -> str:
        """Where people install the app."""
        return f"{self._web_url}/apps/{await self._tokens.app_slug()}/installations/new"

    async def holds(self, installation: InstallationId, repository_id: int) -> bool:
        """Whether an active installation may use the repository."""
        try:
            await self._tokens.token(installation, repository_id, _EVERYTHING)
        except RepositoryNotInstalled:
            return False
        return True

    def forget(self, installation: InstallationId) -> None:
        """Its tokens are dead."""
        self._tokens.forget(installation)


def _attempt(item: Mapping[str, Any]) -> Attempt:
    return Attempt(
        id=int(item["id"]),
        guid=str(item["guid"]),
        delivered_at=datetime.fromisoformat(item["delivered_at"]),
        arrived=200 <= int(item.get("status_code") or 0) < 300,
        event=str(item.get("event") or ""),
    )
