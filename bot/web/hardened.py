"""What every answer of the web part says to browsers. Plain ASGI: streams pass through as they are. No I/O."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.web.headers import SECURITY_HEADERS

_HTTPS_ONLY = "max-age=31536000"
"""A year; not for other hosts of the domain, which are not ours."""


class Hardened:
    """`https`: whether people reach us that way, so that their browsers may keep to it."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = {**SECURITY_HEADERS, **({"strict-transport-security": _HTTPS_ONLY} if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "etag" in headers:
                    # Our own files: kept, and asked about each time.
                    headers.setdefault("cache-control", "no-cache")
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, harden)
