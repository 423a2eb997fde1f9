"""Signing in with GitHub: the page, the way there and back, and signing out."""

import base64
import hmac
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, urlsplit

import structlog
from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from bot.github.failures import GitHubFailed
from bot.github.oauth import ClientRefused, CodeRefused, OAuth
from bot.runs.sign_ins import Attempt, SignIns
from bot.web import forms, session_cookie
from bot.web.doorkeeper import Doorkeeper
from bot.web.session_cookie import ATTEMPT_LIFE, SESSION_LIFE
from bot.web.throttle import Throttle, address_of
from bot.web.visitor import Person

FIRST_PAGE = "/"
_CALLBACK = "/login/callback"
_RANDOM_BYTES = 32
_LONGEST_PATH = 2000
_LONGEST_ANSWER = 500
_STARTS = 30
_STARTS_IN = timedelta(minutes=1)
_OWN_PATHS = ("/login", "/logout")
_OF_THE_APP = frozenset({"redirect_uri_mismatch", "application_suspended"})
"""GitHub's errors that whoever runs Backspace can mend."""
_pages = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)
log = structlog.get_logger("bot.web.signing_in")


@dataclass(frozen=True)
class Trouble:
    """Why somebody is not signed in, and what to do about it, in words for people."""

    status: int
    words: str
    next_step: str


_EXPIRED = Trouble(
    400,
    "This sign-in was not started in this browser, is older than ten minutes, or was finished before.",
    "Sign in again.",
)
_DENIED = Trouble(403, "GitHub was not allowed to say who you are.", "Sign in again, and say yes on GitHub's page.")
_REFUSED = Trouble(400, "GitHub does not take the code that you came back with.", "Sign in again.")
_MISCONFIGURED = Trouble(
    502,
    "GitHub does not know this Backspace.",
    "Whoever runs it should check GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET and the app's callback URL.",
)
_FORGED = Trouble(403, "This did not come from a page of Backspace.", "Go back, reload the page and try again.")
_UNAVAILABLE = Trouble(502, "GitHub did not say who you are.", "Try again in a few minutes.")


@dataclass(frozen=True)
class SigningIn:
    """`oauth` None: the deployment has no client id and secret, and nobody can sign in."""

    oauth: OAuth | None
    sign_ins: SignIns
    doorkeeper: Doorkeeper
    public_url: str
    clock: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]
    starts: Throttle = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", Throttle(_STARTS, _STARTS_IN, self.clock))

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/login", self.page),
            Route("/login/github", self.start),
            Route("/login/callback", self.callback),
            Route("/logout", self.end, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        onward = own_path(request.query_params.get("next"))
        if isinstance(await self.doorkeeper.who(request), Person):
            return _redirect(onward)
        return self._page(onward)

    async def start(self, request: Request) -> Response:
        onward = own_path(request.query_params.get("next"))
        if self.oauth is None:
            return self._page(onward)
        if (wait := self.starts.take(address_of(request))) is not None:
            seconds = max(math.ceil(wait.total_seconds()), 1)
            busy = Trouble(429, "Too many sign-ins were started from your address.", f"Wait {seconds} seconds.")
            return self._page(onward, busy)
        state, verifier = self._random(), self._random()
        now = self.clock()
        await self.sign_ins.begin(state, Attempt(verifier, onward), now, now + ATTEMPT_LIFE)
        to_github = self.oauth.page(redirect_uri=self._redirect_uri, state=state, challenge=_challenge(verifier))
        response = _redirect(to_github)
        session_cookie.attempt(self.public_url).set(response, state)
        return response

    async def callback(self, request: Request) -> Response:
        """Where GitHub sends people back to; nothing of it is believed before the state is known to be theirs."""
        state, code = request.query_params.get("state", ""), request.query_params.get("code", "")
        cookie = session_cookie.attempt(self.public_url)
        theirs = bool(state) and hmac.compare_digest(cookie.of(request).encode(), state.encode())
        attempt = await self.sign_ins.take(state, self.clock()) if theirs else None
        if self.oauth is None or attempt is None:
            return self._page(FIRST_PAGE, _EXPIRED)
        found = await self._come_back(request, self.oauth, attempt, code)
        response = self._page(attempt.next, found) if isinstance(found, Trouble) else found
        cookie.clear(response)
        return response

    async def _come_back(self, request: Request, oauth: OAuth, attempt: Attempt, code: str) -> Response | Trouble:
        refusal = request.query_params.get("error", "")
        if refusal or not code or len(code) > _LONGEST_ANSWER:
            denied = refusal == "access_denied"
            log.info("sign_in.refused", denied=denied)
            return _DENIED if denied else _MISCONFIGURED if refusal in _OF_THE_APP else _REFUSED
        try:
            person = await oauth.who(code=code, redirect_uri=self._redirect_uri, verifier=attempt.verifier)
        except CodeRefused:
            return _REFUSED
        except GitHubFailed as error:
            log.warning("sign_in.failed", code=error.code, status=error.status)
            return _MISCONFIGURED if isinstance(error, ClientRefused) else _UNAVAILABLE
        secret = self._random()
        now = self.clock()
        await self.sign_ins.open(secret, person, now, now + SESSION_LIFE)
        log.info("sign_in.done", user=person.login, user_id=person.id)
        response = _redirect(attempt.next)
        session_cookie.session(self.public_url).set(response, secret)
        return response

    async def end(self, request: Request) -> Response:
        visitor = await self.doorkeeper.who(request)
        response = _redirect("/login")
        if not isinstance(visitor, Person):
            return response
        token = (await forms.fields(request)).get("form_token") or request.headers.get("x-form-token")
        if self.doorkeeper.forged(visitor, request, token):
            return self._page(FIRST_PAGE, _FORGED, signed_in=True)
        cookie = session_cookie.session(self.public_url)
        await self.sign_ins.end(cookie.of(request))
        cookie.clear(response)
        return response

    @property
    def _redirect_uri(self) -> str:
        return f"{self.public_url.rstrip('/')}{_CALLBACK}"

    def _random(self) -> str:
        """URL-safe, of the length that PKCE asks for at least: https://www.rfc-editor.org/rfc/rfc7636#section-4.1"""
        return _base64url(self.random_bytes(_RANDOM_BYTES))

    def _page(self, onward: str, trouble: Trouble | None = None, *, signed_in: bool = False) -> Response:
        html = _pages.get_template("login.html").render(
            possible=self.oauth is not None,
            start=f"/login/github?next={quote(onward, safe='/')}",
            trouble=trouble,
            callback_url=self._redirect_uri,
            signed_in=signed_in,
        )
        return Response(html, trouble.status if trouble else 200, media_type="text/html")


def own_path(wished: str | None) -> str:
    """The path if it is one of ours, else the first page: nobody is sent to another site from here."""
    if not wished or len(wished) > _LONGEST_PATH or "\\" in wished or not wished.isprintable() or " " in wished:
        return FIRST_PAGE
    if not wished.startswith("/") or wished.startswith("//"):
        return FIRST_PAGE
    try:
        parts = urlsplit(wished)
    except ValueError:
        return FIRST_PAGE
    if parts.scheme or parts.netloc or parts.path.startswith(_OWN_PATHS):
        return FIRST_PAGE
    return wished


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 303)


def _challenge(verifier: str) -> str:
    return _base64url(sha256(verifier.encode()).digest())


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
