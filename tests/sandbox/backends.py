"""The real backends that the conformance suite runs over, and ground on which they can stand."""

import atexit
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from bot.daytona.backend import Daytona
from bot.daytona.cloud import connect
from bot.sandbox import Sandbox
from bot.sandbox.bubblewrap import Bubblewrap
from tests.fakes.daytona import FakeDaytona, fake_daytona


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """Where another user may pass, unlike pytest's own directory."""
    directory = Path(tempfile.mkdtemp(prefix="backspace-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@asynccontextmanager
async def bubblewrap(tools: Path) -> AsyncIterator[Bubblewrap]:
    """Leaves no sandbox behind."""
    with reachable_directory() as directory:
        async with Bubblewrap(root=directory / "sandboxes", tools=tools, watch_seconds=0.1) as backend:
            yield backend
            for box in await backend.list_owned():
                await backend.delete(box)


class _Healthz(BaseHTTPRequestHandler):
    """Says that it is well, as Backspace does."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on the test's output."""


@contextmanager
def backspace_address() -> Iterator[int]:
    """The port of what looks like Backspace to a sandbox that has just been made."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Healthz) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@cache
def _emulator() -> tuple[FakeDaytona, str]:
    """One for all tests of a process, and Backspace's URL on its internet."""
    life = ExitStack()
    atexit.register(life.close)
    fake = life.enter_context(fake_daytona())
    port = life.enter_context(backspace_address())
    fake.allow_host("127.0.0.1", port)
    return fake, f"http://127.0.0.1:{port}"


@asynccontextmanager
async def daytona(_tools: Path) -> AsyncIterator[Daytona]:
    """Over the emulator; leaves no sandbox behind."""
    fake, url = _emulator()
    ids = count()
    async with connect(
        api_key=fake.api_key,
        api_url=fake.api_url,
        target=None,
        deployment="0123456789",
        new_id=lambda: f"{os.getpid()}-{next(ids)}",
    ) as cloud:
        backend = Daytona(
            cloud,
            snapshot="default",
            broker_url=url,
            ttl_minutes=60,
            accept_open_network=False,
            clock=time.monotonic,
            new_id=lambda: f"{os.getpid()}-{next(ids)}",
        )
        yield backend
        for box in await backend.list_owned():
            await backend.delete(box)


BACKENDS: dict[str, Callable[[Path], AbstractAsyncContextManager[Sandbox]]] = {
    "bubblewrap": bubblewrap,
    "daytona": daytona,
}
