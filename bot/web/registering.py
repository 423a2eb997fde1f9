"""The pages of `backspace setup`: GitHub is asked for an app, and what it answers is kept, once.

Whoever opens them has the address that the command printed; the secret in it becomes a cookie.
"""

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from bot.github import registration
from bot.github.app import EVENTS, PERMISSIONS
from bot.github.failures import GitHubFailed
from bot.github.registration import Registered, Registrar, RegistrationRefused
from bot.web import asked_for
from bot.web.hardened import Hardened
from bot.web.headers import SECURITY_HEADERS
from bot.web.problems import problem
from bot.web.session_cookie import Cookie

_PAGES = Path(__file__).parent / "pages"
_STATE_LIFE = timedelta(hours=1)
"""As long as GitHub's code is good."""
_MOST_STATES = 100
_RANDOM_BYTES = 32
_LINGER_SECONDS = 1.0
"""Until the browser has what belongs to the last page."""
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,300}")
_pages = Environment(loader=FileSystemLoader(_PAGES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
log = structlog.get_logger("bot.web.registering")


@dataclass(frozen=True)
class Kept:
    """Where the secrets of the new app are: in a file, or else only on the page that is shown now."""

    app: Registered
    file: str = ""
    lines: str = field(default="", repr=False)
    trouble: str = ""
    """Why they are not in the file."""


@dataclass(frozen=True)
class _Trouble:
    status: int
    words: str
    next_step: str


_STRANGER = _Trouble(
    403, "This page is for whoever started backspace setup.", "Open the address that the command printed."
)
_NO_ORGANIZATION = _Trouble(422, "That is not the name of an organization.", "Write it as in its address on GitHub.")
_EXPIRED = _Trouble(
    400, "This registration was not started here, is older than an hour, or was finished before.", "Start again."
)
_REFUSED = _Trouble(
    400,
    "GitHub does not take the code that you came back with.",
    "If GitHub lists the new app, delete it; start again.",
)
_UNAVAILABLE = _Trouble(502, "GitHub did not answer.", "Reload this page in a minute: the code is good for an hour.")
_UNREADABLE = _Trouble(
    502,
    "GitHub's answer could not be read.",
    "Delete the app on GitHub and start again, or set what .env needs by hand from the app's settings page.",
)


@dataclass
class Registering:
    """One registration, for one browser."""

    registrar: Registrar
    web_url: str
    """GitHub's."""
    public_url: str
    token: str = field(repr=False)
    keep: Callable[[Registered], Kept]
    """Not called twice; what it returns has the secrets when they are nowhere else."""
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    kept: Kept | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _states: dict[str, datetime] = field(default_factory=dict, repr=False)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def asgi(self) -> ASGIApp:
        routes: list[BaseRoute] = [
            Route("/", self.first),
            Route("/setup", self.page),
            Route("/setup/done", self.done),
            Mount("/static", StaticFiles(directory=_PAGES / "static")),
        ]
        handlers = dict.fromkeys((404, 405), _nothing) | {500: _failed}
        return Hardened(Starlette(routes=routes, exception_handlers=handlers), https=False)

    async def first(self, _request: Request) -> Response:
        return RedirectResponse("/setup", 303)

    async def page(self, request: Request) -> Response:
        """What will be asked for, and the form that asks GitHub."""
        base = self._base(request)
        if _same(request.query_params.get("token", ""), self.token):
            response = RedirectResponse("/setup", 303)
            _cookie(base).set(response, self.token)
            return response
        if not self._is_known(request):
            return self._page(base, _STRANGER)
        organization = request.query_params.get("organization", "").strip()
        if organization and not registration.is_organization(organization):
            return self._page(base, _NO_ORGANIZATION, known=True)
        return self._page(base, known=True, organization=organization)

    async def done(self, request: Request) -> Response:
        """Where GitHub sends the browser back to."""
        base = self._base(request)
        if not self._is_known(request):
            return self._page(base, _STRANGER)
        state = request.query_params.get("state", "")
        async with self._one_at_a_time:
            started = self._states.pop(state, None)
            if self.kept is not None or started is None or started <= self.clock() - _STATE_LIFE:
                return self._page(base, _EXPIRED, known=True)
            try:
                app = await self.registrar.convert(request.query_params.get("code", ""))
            except GitHubFailed as error:
                log.warning("registration.failed", code=error.code, status=error.status)
                if error.retry_helps:
                    # The same address once more: GitHub knows whether the code has been used.
                    self._states[state] = started
                    return self._page(base, _UNAVAILABLE)
                return self._page(base, _REFUSED if isinstance(error, RegistrationRefused) else _UNREADABLE, known=True)
            self.kept = self.keep(app)
        html = _pages.get_template("registered.html").render(kept=self.kept)
        response = Response(html, media_type="text/html", background=BackgroundTask(self._end))
        _cookie(base).clear(response)
        return response

    async def _end(self) -> None:
        await asyncio.sleep(_LINGER_SECONDS)
        self.over.set()

    def _base(self, request: Request) -> str:
        """The address that the browser has us at: there alone it sends our cookie when it comes back."""
        host = request.headers.get("host", "")
        if host == urlsplit(self.public_url).netloc or not _HOST.fullmatch(host):
            return self.public_url.rstrip("/")
        return f"http://{host}"

    def _is_known(self, request: Request) -> bool:
        return _same(_cookie(self._base(request)).of(request), self.token)

    def _page(
        self, base: str, trouble: _Trouble | None = None, *, known: bool = False, organization: str = ""
    ) -> Response:
        """`known`: with the form; whoever has an address of ours but no business here sees none."""
        possible = known and self.kept is None
        state = self._new_state() if possible else ""
        html = _pages.get_template("registering.html").render(
            trouble=trouble,
            possible=possible,
            organization=organization,
            wishes=asked_for.wishes(PERMISSIONS, EVENTS),
            public_url=self.public_url,
            web_url=self.web_url,
            action=registration.form_address(self.web_url, organization=organization, state=state),
            manifest=json.dumps(
                registration.manifest(public_url=self.public_url, redirect_url=f"{base}/setup/done"), indent=2
            ),
        )
        parts = urlsplit(self.web_url)
        policy = SECURITY_HEADERS["content-security-policy"].replace(
            "form-action 'self'", f"form-action 'self' {parts.scheme}://{parts.netloc}"
        )
        status = trouble.status if trouble else 200
        return Response(html, status, {"content-security-policy": policy}, media_type="text/html")

    def _new_state(self) -> str:
        now = self.clock()
        while len(self._states) >= _MOST_STATES:
            del self._states[next(iter(self._states))]
        state = base64.urlsafe_b64encode(self.random_bytes(_RANDOM_BYTES)).rstrip(b"=").decode()
        self._states[state] = now
        return state


def _cookie(base: str) -> Cookie:
    return Cookie("backspace-setup", base, _STATE_LIFE)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


async def _nothing(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", HTTPStatus.NOT_FOUND)
    return problem(status, "no-such-page", "Until the app is registered there is nothing but /setup.")


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request.failed", path=request.url.path, error=type(error).__name__, exc_info=error)
    return problem(500, "internal-error", "Something went wrong here; the log says what.")
