"""`GET /setup` of a server that has its app: how it is registered, and what is missing; no secret."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.diagnosis import Diagnosis, Verdict, ok, warning
from bot.github import app_check
from bot.github.app import EVENTS, PERMISSIONS, Registration
from bot.web import asked_for
from bot.web.doorkeeper import Doorkeeper
from bot.web.remembered import Remembered
from bot.web.visitor import Person

_ANSWERS_ARE_KEPT = timedelta(seconds=30)
_PATIENCE_SECONDS = 8.0
_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


class AsksGitHub(Protocol):
    """What the page needs of the app's calls."""

    async def registration(self) -> Registration: ...

    async def webhook_url(self) -> str: ...


class _Known(NamedTuple):
    app: Registration
    webhook: str


@dataclass(frozen=True)
class SetupPage:
    doorkeeper: Doorkeeper
    app: AsksGitHub
    app_id: int
    public_url: str
    people_sign_in: bool
    clock: Callable[[], datetime]
    _known: Remembered[int, _Known] = field(init=False)

    def __post_init__(self) -> None:
        known: Remembered[int, _Known] = Remembered(
            self._ask,
            life=_ANSWERS_ARE_KEPT,
            patience_seconds=_PATIENCE_SECONDS,
            at_once=asyncio.Semaphore(1),
            clock=self.clock,
        )
        object.__setattr__(self, "_known", known)

    def routes(self) -> list[BaseRoute]:
        return [Route("/setup", self.page)]

    async def page(self, request: Request) -> Response:
        visitor = await self.doorkeeper.who(request)
        if visitor is None:
            return RedirectResponse("/login?next=/setup", 303)
        known = await self._known.get(self.app_id)
        person = visitor if isinstance(visitor, Person) else None
        html = _pages.get_template("setup.html").render(
            person=person,
            form_token=person.form_token if person else "",
            app_id=self.app_id,
            app=known.app if known else None,
            missing=[found for found in self._findings(known) if found.verdict is not Verdict.OK],
            wishes=asked_for.wishes(PERMISSIONS, EVENTS),
        )
        return Response(html, media_type="text/html")

    def _findings(self, known: _Known | None) -> list[Diagnosis]:
        found = [] if known is None else app_check.findings(known.app, known.webhook, public_url=self.public_url)
        return [*found, self._sign_in()]

    def _sign_in(self) -> Diagnosis:
        if self.people_sign_in:
            return ok("sign-in", "people can sign in")
        return warning(
            "sign-in",
            "nobody can sign in",
            "Set GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET to those on the app's settings page on GitHub, "
            f"and {self.public_url.rstrip('/')}/login/callback as its callback URL.",
        )

    async def _ask(self, _app_id: int) -> _Known:
        return _Known(await self.app.registration(), await self.app.webhook_url())
