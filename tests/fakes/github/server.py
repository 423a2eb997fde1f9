"""The stand-in on a loopback port, in a thread of its own: blocking tests and async ones may both call it."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import TracebackType

import uvicorn

from tests.fakes.github.fake import FakeGitHub
from tests.prompt_server import PromptServer

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0


class Serving:
    """`with` and `async with` both give the web address; leaving stops the server, and closes the stand-in
    unless it is to be served again (`keep=True`)."""

    def __init__(self, fake: FakeGitHub, *, host: str, port: int, keep: bool) -> None:
        self._fake = fake
        self._host = host
        self._port = port
        self._keep = keep
        self._server: PromptServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> str:
        listener = socket.create_server((self._host, self._port))
        # asyncio sets it only on sockets that name their protocol; without it each answer waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self._fake.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,  # the connection of a dropped request is found behind uvicorn's own `send`
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = PromptServer(config)
        self._fake.listens_at(f"http://{self._host}:{listener.getsockname()[1]}")
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="github", daemon=True
        )
        self._thread.start()
        if not self._server.listening.wait(_START_SECONDS):
            raise TimeoutError("the GitHub stand-in did not start")
        return self._fake.web_url

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server and self._thread:
            self._server.stop()
            self._thread.join(_STOP_SECONDS)
        if not self._keep:
            self._fake.close()

    async def __aenter__(self) -> str:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def serve(fake: FakeGitHub, *, host: str = "127.0.0.1", port: int = 0, keep: bool = False) -> Serving:
    return Serving(fake, host=host, port=port, keep=keep)
