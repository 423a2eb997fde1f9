"""Who is there, and what they may see and do."""

import asyncio
import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from starlette.requests import Request

from bot.errors import BackspaceError
from bot.github.answers import At, where
from bot.github.client import Client
from bot.intake.access import WRITERS
from bot.model import Actor, InstallationId
from bot.runs.keys import Keys
from bot.runs.records import Key, Run
from bot.runs.sign_ins import SignIns
from bot.web import session_cookie
from bot.web.remembered import Remembered
from bot.web.throttle import Throttle, address_of
from bot.web.visitor import ByKey, Everyone, Person, Visitor, asked_by

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Names of this machine for itself."""

_HANDED_ON = frozenset({"forwarded", "x-forwarded-for", "x-forwarded-host"})
"""Headers of proxies and tunnels."""
_READERS = WRITERS | {"read", "triage"}
_ANSWERS_HOLD = timedelta(seconds=60)
_PATIENCE_SECONDS = 8.0
_QUESTIONS_AT_ONCE = 8
_WRONG_KEYS = 100
_WRONG_KEYS_IN = timedelta(minutes=1)
_NAMES = 60
_NAMES_IN = timedelta(minutes=1)


class TooManyTries(BackspaceError):
    """Too many wrong keys came from this address."""

    retry_helps = True

    def __init__(self, wait: timedelta) -> None:
        super().__init__()
        self.wait_seconds = max(math.ceil(wait.total_seconds()), 1)


@dataclass(frozen=True)
class _Question:
    """Which permission has this person there?"""

    person: Actor
    installation_id: InstallationId
    repo_id: int
    full_name: str
    """Besides the id, which is 0 for repositories that nobody has looked up yet."""
    at: At = field(compare=False)


class Doorkeeper:
    """What a person may do is what GitHub says that they may do, a minute ago at most."""

    def __init__(
        self,
        keys: Keys,
        sign_ins: SignIns,
        github: Client,
        *,
        public_url: str,
        open_to_all: bool,
        clock: Callable[[], datetime],
    ) -> None:
        """`open_to_all`: BACKSPACE_REQUIRE_AUTH=false, on loopback."""
        self._keys = keys
        self._sign_ins = sign_ins
        self._github = github
        self._open_to_all = open_to_all
        self._clock = clock
        self._origin = _origin(public_url)
        self._cookie = session_cookie.session(public_url)
        self._wrong_keys = Throttle(_WRONG_KEYS, _WRONG_KEYS_IN, clock)
        self._names = Throttle(_NAMES, _NAMES_IN, clock)
        at_once = asyncio.Semaphore(_QUESTIONS_AT_ONCE)
        self._levels: Remembered[_Question, str] = Remembered(
            self._ask_level, life=_ANSWERS_HOLD, patience_seconds=_PATIENCE_SECONDS, at_once=at_once, clock=clock
        )
        self._places: Remembered[str, At] = Remembered(
            github.app.installation_of,
            life=_ANSWERS_HOLD,
            patience_seconds=_PATIENCE_SECONDS,
            at_once=at_once,
            clock=clock,
        )

    async def who(self, request: Request) -> Visitor | None:
        """None for nobody known; a wrong or revoked key is nobody, whatever else came along.

        Raises TooManyTries and StoreUnavailable.
        """
        secret = _key_of(request)
        if secret is not None:
            key = await self._find(secret, request)
            return ByKey(key) if key is not None else None
        session = self._cookie.of(request)
        person = await self._sign_ins.find(session, self._clock()) if session else None
        if person is not None:
            return Person(person.id, person.login, session_cookie.form_token(session))
        return Everyone() if self._open_to_all and _from_this_machine(request) else None

    async def _find(self, secret: str, request: Request) -> Key | None:
        """A good key is let in whoever tries others from its address: behind a proxy or a house that is everyone's.

        Nobody guesses 256 random bits; who goes on with a wrong key is told to wait.
        """
        key = await self._keys.find(secret, self._clock())
        if key is None and (wait := self._wrong_keys.take(address_of(request))) is not None:
            raise TooManyTries(wait)
        return key

    async def may_read(self, visitor: Visitor, run: Run) -> bool:
        match visitor:
            case ByKey(key):
                return key.covers(run.request.repo.full_name)
            case Person():
                return _asked(visitor, run) or await self._level(visitor, where(run.request)) in _READERS
            case Everyone():
                return True

    async def may_act(self, visitor: Visitor, run: Run) -> bool:
        """Stop it, start it again."""
        match visitor:
            case ByKey(key):
                return key.may_run and key.covers(run.request.repo.full_name)
            case Person():
                return _asked(visitor, run) or await self._level(visitor, where(run.request)) in WRITERS
            case Everyone():
                return True

    async def may_start(self, visitor: Visitor, full_name: str) -> bool:
        match visitor:
            case ByKey(key):
                return key.may_run and key.covers(full_name)
            case Person():
                at = await self._place(visitor, full_name)
                return at is not None and await self._level(visitor, at) in WRITERS
            case Everyone():
                return True

    async def readable(self, visitor: Visitor, runs: Sequence[Run]) -> list[Run]:
        """Those of them that the visitor may read, in their order."""
        allowed = await asyncio.gather(*(self.may_read(visitor, run) for run in runs))
        return [run for run, may in zip(runs, allowed, strict=True) if may]

    def forged(self, visitor: Visitor, request: Request, form_token: str | None) -> bool:
        """Whether a POST of a signed-in person came from elsewhere than our pages.

        `form_token`: the field of that name of a form, or the header `X-Form-Token` of a script. Who brings a key
        cannot be made to by another site; what is open to all on loopback is guarded against other sites, too.
        """
        match visitor:
            case ByKey():
                return False
            case Everyone():
                return self._from_elsewhere(request)
            case Person():
                brought = (form_token or "").encode()
                return self._from_elsewhere(request) or not hmac.compare_digest(brought, visitor.form_token.encode())

    def _from_elsewhere(self, request: Request) -> bool:
        """https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html"""
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site not in {"same-origin", "none"}
        origin = request.headers.get("origin")
        # Programs send neither; browsers always send one of them with a POST.
        own = f"{request.url.scheme}://{request.headers.get('host', '')}"
        return origin is not None and origin.lower() not in {self._origin, own.lower()}

    async def _place(self, person: Person, full_name: str) -> At | None:
        """None also for somebody who asks for one name after the other: each costs a call that all share."""
        if self._names.take(asked_by(person)) is not None:
            return None
        return await self._places.get(full_name)

    async def _level(self, person: Person, at: At) -> str | None:
        actor = Actor(person.user_id, person.login)
        return await self._levels.get(
            _Question(actor, at.installation_id, at.repo.id, at.repo.full_name.lower(), At(at.installation_id, at.repo))
        )

    async def _ask_level(self, question: _Question) -> str | None:
        """None for nobody known by that login, and for a login that is somebody else's by now."""
        permission = await self._github.permission(question.at, question.person)
        return permission.level if permission is not None and permission.user_id == question.person.id else None


def _key_of(request: Request) -> str | None:
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip()
    return request.headers.get("x-api-key")


def _from_this_machine(request: Request) -> bool:
    """Another name that leads here is another site's (DNS rebinding); what was handed on came from anywhere."""
    try:
        name = urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return False
    return name in LOOPBACK and not _HANDED_ON & set(request.headers.keys())


def _asked(person: Person, run: Run) -> bool:
    """A run that no installation stands for yet can be looked up nowhere: it is who asked for it that may see it."""
    return run.request.installation_id == 0 and run.request.asked_by == asked_by(person)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
