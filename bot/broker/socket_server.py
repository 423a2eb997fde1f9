"""An ASGI application on one Unix socket: a run's own door to the broker, open within milliseconds."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

_ADDRESS_LIMIT_BYTES = 100
"""The kernel takes 107 and a zero byte."""


class SocketServer:
    # uvicorn.Server is made for one per process: it takes the signals and wakes up ten times a second.
    # Its protocol class alone is what a few dozen runs at once need.
    def __init__(self, path: Path, app: ASGIApp) -> None:
        self.path = path
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._config.load()
        self.path.unlink(missing_ok=True)
        with _short(self.path) as address:
            self._server = await asyncio.get_running_loop().create_unix_server(self._protocol, address)
        # Whoever connects needs the run's token; the sandbox's user is not ours.
        self.path.chmod(0o666)

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    def _protocol(self) -> asyncio.Protocol:
        return self._config.http_protocol_class(  # type: ignore[call-arg]  # typed as the bare asyncio.Protocol
            config=self._config, server_state=self._state, app_state={}
        )


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A name for the path that fits into a socket's address."""
    if len(os.fsencode(path)) <= _ADDRESS_LIMIT_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
