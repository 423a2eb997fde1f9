"""The stand-in as a test sees it: people act, the app is watched, faults are planned."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.types import ASGIApp

from tests.fakes.github.access import Access
from tests.fakes.github.assets import Assets
from tests.fakes.github.audit import Audit
from tests.fakes.github.faults import Fault, Faults, Plan
from tests.fakes.github.forge import Forge
from tests.fakes.github.hooks import Hooks
from tests.fakes.github.limits import PRIMARY_PER_HOUR, Limits
from tests.fakes.github.log import Log, Logged
from tests.fakes.github.operations import Parts
from tests.fakes.github.people import People
from tests.fakes.github.shapes import Links, Shapes
from tests.fakes.github.site import Site
from tests.fakes.github.view import View
from tests.fakes.github.world import App, Clock, World

API_PREFIX = "/api/v3"
"""As on GitHub Enterprise Server: the API below a prefix, pages and git at the root of the same host."""

PERMISSIONS: Mapping[str, str] = {
    "metadata": "read",
    "contents": "write",
    "issues": "write",
    "pull_requests": "write",
    "checks": "read",
}
EVENTS = (
    "issues",
    "issue_comment",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "check_run",
)

_NOT_LISTENING = "http://github.invalid"
_APP_ID = 710_001


@functools.cache
def _key_pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class FakeGitHub(People, View):
    """Make one with `create`, let it listen with `serve`.

    Its methods block: in a test whose own event loop serves the webhook, call those that send deliveries
    through `asyncio.to_thread`.
    """

    def __init__(self, parts: Parts, state: Path, *, hooks: Hooks, faults: Faults, audit: Audit, log: Log) -> None:
        super().__init__(parts, state, hooks)
        self._audit = audit
        self.faults: Faults = faults
        self.log: Log = log
        self._site = Site(self, parts, faults, audit, log)

    @classmethod
    def create(
        cls,
        state_dir: Path,
        *,
        slug: str = "backspace",
        api_prefix: str = API_PREFIX,
        permissions: Mapping[str, str] = PERMISSIONS,
        events: Iterable[str] = EVENTS,
        clock: Clock | None = None,
        primary_per_hour: int = PRIMARY_PER_HOUR,
        secondary_limits: bool = False,
        described: bool = True,
    ) -> FakeGitHub:
        """`described=False` leaves GitHub's description out, as a benchmark wants it."""
        world = World(clock or Clock())
        log = Log()
        private, public = _key_pair()
        app = App(
            id=_APP_ID,
            slug=slug,
            client_id=f"Iv23li{_APP_ID}",
            client_secret="dummy-client-secret-00000000000000000000",
            name=slug.capitalize(),
            owner=world.add_account(f"{slug}-owner", "User"),
            bot=world.add_account(f"{slug}[bot]", "Bot"),
            permissions=dict(permissions),
            events=tuple(events),
            private_key_pem=private,
            public_key_pem=public,
            created_at=world.clock(),
        )
        links = Links(_NOT_LISTENING, api_prefix)
        shapes = Shapes(world, app, links)
        hooks = Hooks(world, app_id=app.id, events=app.events, changed=log.changed)
        limits = Limits(primary_per_hour=primary_per_hour, secondary=secondary_limits)
        parts = Parts(
            world, app, links, shapes, Forge(world, shapes, hooks), Access(world, app), limits, Assets(world, links)
        )
        audit = Audit(enabled=described)
        return cls(parts, state_dir, hooks=hooks, faults=Faults(), audit=audit, log=log)

    def close(self) -> None:
        self._site.close()
        self.hooks.close()
        self._audit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Addresses.

    @property
    def app(self) -> ASGIApp:
        return self._site

    @property
    def web_url(self) -> str:
        return self._parts.links.web

    @property
    def api_url(self) -> str:
        return self._parts.links.api

    def listens_at(self, web_url: str) -> None:
        self._parts.links.web = web_url

    @property
    def assets(self) -> Assets:
        return self._parts.assets

    @property
    def limits(self) -> Limits:
        return self._parts.limits

    # Faults.

    def fail(
        self,
        method: str,
        path: str,
        fault: Fault,
        *,
        count: int = 1,
        skip: int = 0,
        seconds: float = 0.0,
        retry_after_seconds: int | None = None,
    ) -> Plan:
        """The next `count` requests that match, after `skip` that pass; `path` is behind the API prefix, with *."""
        return self.faults.add(
            method, path, fault, count=count, skip=skip, seconds=seconds, retry_after_seconds=retry_after_seconds
        )

    # Watching.

    @property
    def requests(self) -> list[Logged]:
        return self.log.requests

    def api_calls(self) -> list[str]:
        """`METHOD /template` of each API request that reached its operation, in order."""
        return [logged.route for logged in self.log.requests if logged.kind == "api" and logged.route]

    @property
    def problems(self) -> list[str]:
        """What GitHub's description, or the table of operations, has against any request or answer so far."""
        return [*self.log.problems, *self._audit.problems()]

    def assert_clean(self) -> None:
        """Raises AssertionError with every problem."""
        problems = self.problems
        if problems:
            raise AssertionError("\n".join(["GitHub would not have understood:", *problems]))

    def settle(self, timeout_seconds: float = 10.0) -> None:
        """Wait until the deliveries that API calls caused have been sent."""
        self.hooks.settle(timeout_seconds)

    def wait_until(self, fact: Callable[[], bool], what: str, timeout_seconds: float = 30.0) -> None:
        """Look whenever something reaches the stand-in. Raises TimeoutError naming `what`."""
        self.log.wait_until(fact, timeout_seconds, what)

    async def until(self, fact: Callable[[], bool], what: str, timeout_seconds: float = 30.0) -> None:
        await self.log.until(fact, timeout_seconds, what)
