"""The HTTP server: uvicorn, whose streams end as soon as it is told to end, so that their readers go on elsewhere."""

import socket

import uvicorn
from starlette.types import ASGIApp

from bot.web.connection import Connection
from bot.web.hub import Hub

_STREAMS_END_SECONDS = 5


class Server(uvicorn.Server):
    """`hub` None: there are no streams."""

    def __init__(self, app: ASGIApp, hub: Hub | None, *, host: str, port: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=Connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=_STREAMS_END_SECONDS,
        )
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._hub is not None:
            self._hub.close()
        await super().shutdown(sockets)
