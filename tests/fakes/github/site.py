"""One host: the API below its prefix, git and pages beside it, the controls of the stand-in below `/_`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from tests.fakes.github.audit import Audit
from tests.fakes.github.control import control_routes
from tests.fakes.github.faults import Faults
from tests.fakes.github.log import Log
from tests.fakes.github.manifests import manifest_routes
from tests.fakes.github.oauth import oauth_routes
from tests.fakes.github.operations import Parts
from tests.fakes.github.pages import page_routes
from tests.fakes.github.rest import Rest
from tests.fakes.github.rest_checks import log_routes
from tests.fakes.github.smart_http import SmartHttp

if TYPE_CHECKING:
    from tests.fakes.github.fake import FakeGitHub


class Site:
    def __init__(self, fake: FakeGitHub, parts: Parts, faults: Faults, audit: Audit, log: Log) -> None:
        self._rest = Rest(parts, faults, audit, log)
        self._git = SmartHttp(parts, faults, log)
        assets = parts.assets.routes(log)
        self._pages = Starlette(
            routes=[
                *assets,
                *control_routes(fake),
                *log_routes(fake),
                *oauth_routes(fake),
                *manifest_routes(fake),
                *page_routes(fake),
            ]
        )

    def close(self) -> None:
        self._rest.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if self._git.concerns(path):
            await self._git(scope, receive, send)
        elif self._rest.concerns(path):
            await self._rest(scope, receive, send)
        else:
            await self._pages(scope, receive, send)
