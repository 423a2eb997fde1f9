"""The emulator's controls, for tests: blocking, from whichever thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from tests.fakes.daytona import container, description
from tests.fakes.daytona.app import API, Door, Logged
from tests.fakes.daytona.container import Dead, answer_of
from tests.fakes.daytona.control import Control
from tests.fakes.daytona.faults import Fault, Faults, Plan
from tests.fakes.daytona.internet import Contact, Internet, Policy
from tests.fakes.daytona.sessions import Sessions
from tests.fakes.daytona.state import Box, Clock, Cloud
from tests.fakes.daytona.toolbox import Toolbox
from tests.fakes.daytona.wire import Api
from tests.prompt_server import PromptServer

T = TypeVar("T")
_START_SECONDS = 10.0
_CALL_SECONDS = 60.0
_SWEEP_SECONDS = 0.5
KEY = "dtn_dummy_0000000000000000"


@dataclass(frozen=True)
class Seen:
    """A sandbox as it is now."""

    id: str
    name: str
    state: str
    labels: dict[str, str]
    policy: Policy
    ttl_minutes: int
    auto_stop: int
    auto_delete: int


class FakeDaytona:
    """One organisation of Daytona. `requests`, `internet` and `faults` may be read at any time."""

    def __init__(self, folder: Path, *, claude: Path | None, tier: int) -> None:
        self.api_key = KEY
        self.faults = Faults()
        self.requests: list[Logged] = []
        self._folder = folder
        self._claude = claude
        self._tier = tier
        self._problems: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        # asyncio sets it only on sockets that name their protocol; without it each answer waits 40 ms for an ACK.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.base_url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.api_url = self.base_url + API
        self._internet = Internet(tier)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="daytona", daemon=True)
        self._made = threading.Event()

    # --- life

    def _start(self) -> None:
        self._thread.start()
        if not self._made.wait(_START_SECONDS) or not self._server.listening.wait(_START_SECONDS):
            raise TimeoutError("the Daytona emulator did not start")

    def _stop(self) -> None:
        self._server.stop()
        self._thread.join(_CALL_SECONDS)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        ground = container.prepare(self._folder, self._claude)
        self._cloud = Cloud(self._folder, ground, self._internet, Clock())
        described = description.load() or {}
        control = Api(API, "DAYTONA_API", described.get("api"), self._problems)
        toolbox = Api("/toolbox/{id}", "DAYTONA_DAEMON", described.get("toolbox"), self._problems)
        tools = Toolbox(self._cloud, toolbox)
        routes = [
            *Control(self._cloud, control, self.base_url, self._tier).routes(),
            *tools.routes(),
            *Sessions(tools).routes(),
        ]
        app = Door(self._cloud, routes, self.faults, key=self.api_key, log=self.requests, problems=self._problems)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", proxy_headers=False, timeout_graceful_shutdown=1
        )
        self._server = PromptServer(config)
        self._made.set()
        sweeping = asyncio.create_task(self._sweep())
        try:
            await self._server.serve(sockets=[self._listener])
        finally:
            sweeping.cancel()
            await self._cloud.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._cloud.sweep()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    # --- what there is

    def sandboxes(self) -> list[Seen]:
        """Those that exist, oldest first; one that is being destroyed still does."""

        async def look() -> list[Seen]:
            return [
                Seen(
                    box.id,
                    box.name,
                    box.state,
                    dict(box.labels),
                    box.policy,
                    box.ttl_minutes,
                    box.auto_stop,
                    box.auto_delete,
                )
                for box in self._cloud.boxes.values()
            ]

        return self._call(look())

    @property
    def created(self) -> int:
        """How many sandboxes were ever made."""
        return len(self._cloud.names)

    @property
    def internet(self) -> list[Contact]:
        """Which names sandboxes looked up, and what they connected to."""
        return list(self._internet.contacts)

    def problems(self) -> list[str]:
        """What the service's description has against requests and answers."""
        return list(self._problems)

    def assert_clean(self) -> None:
        assert not self._problems, "\n".join(self._problems)

    # --- what a test does to it

    def fail(
        self,
        fault: Fault,
        *,
        match: str | None = None,
        sandbox: str = "*",
        times: int = 1,
        skip: int = 0,
        seconds: float = 1.0,
        lasting_seconds: float | None = None,
    ) -> Plan:
        """See Faults.add. Without `match`: the requests that the fault's own words name. `times=-1`: all of them."""
        return self.faults.add(
            fault,
            match=match,
            sandbox=sandbox,
            times=times,
            skip=skip,
            seconds=seconds,
            lasting_seconds=lasting_seconds,
        )

    def allow_host(self, host: str, port: int, to_port: int | None = None, *, essential: bool = False) -> None:
        """On the sandboxes' internet there is `host:port`, which is `to_port` (or the same) of this machine.

        A sandbox reaches it where its policy lets it. `essential`: also in tiers 1 and 2, where no policy counts.
        """

        async def serve() -> None:
            self._internet.served[host, port] = ("127.0.0.1", to_port or port)
            if essential and self._internet.essential is not None:
                self._internet.essential.append(host)
            await self._cloud.network_changed(list(self._cloud.boxes.values()))

        self._call(serve())

    def add_snapshot(self, name: str, *, state: str = "active", cpu: int = 2, memory: int = 4, disk: int = 10) -> None:
        """Sizes in GiB. `state="inactive"`: as after two weeks without use."""

        async def add() -> None:
            self._cloud.add_snapshot(name, state=state, cpu=cpu, memory=memory, disk=disk, image="debian:12")

        self._call(add())

    def snapshots(self) -> dict[str, str]:
        """Name to state."""
        return {snapshot.name: snapshot.state for snapshot in list(self._cloud.snapshots.values())}

    def lag(self, seconds: float) -> None:
        """From now on the list is this far behind; single sandboxes are not."""

        async def set_lag() -> None:
            self._cloud.list_lag = timedelta(seconds=seconds)
            for box in self._cloud.boxes.values():
                self._cloud.changed(box)

        self._call(set_lag())

    def build_takes(self, seconds: float) -> None:
        """Building or activating a snapshot does."""
        self._cloud.build_seconds = seconds

    def pass_time(self, *, minutes: float) -> None:
        """The service's clock jumps; what is due by then has happened on return."""

        async def jump() -> None:
            self._cloud.clock.advance(timedelta(minutes=minutes))
            await self._cloud.sweep()

        self._call(jump())

    def _box(self, name: str) -> Box:
        return self._cloud.find(name)

    def stop(self, name: str) -> None:
        """As auto-stop does: everything in it ends, its files stay."""
        self._call(self._cloud.stop(self._box(name)))

    def die(self, name: str) -> None:
        """Everything in it ends, its state stays `started`, its toolbox answers 502."""
        self._call(self._cloud.die(self._box(name)))

    def destroy(self, name: str) -> None:
        """As the service's own timers or another user do; also one that is stuck in `destroying`."""

        self._call(self._destroy(self._box(name)))

    def destroy_all(self) -> None:
        """As by `destroy`; those that are gone by then, for somebody else deleted them too, are no error."""

        async def destroy() -> None:
            for box in list(self._cloud.boxes.values()):
                await self._destroy(box)

        self._call(destroy())

    async def _destroy(self, box: Box) -> None:
        box.stuck = False
        await self._cloud.delete(box)

    def shell(self, name: str, command: str, *, timeout_seconds: float = 20.0) -> tuple[int | None, str]:
        """Look inside, past the API and its faults: exit code (None: it took too long) and output."""

        async def run() -> tuple[int | None, str]:
            box = self._box(name)
            if box.container is None:
                raise Dead
            order = {"do": "execute", "command": command, "timeout": timeout_seconds}
            async with box.container.call(order) as (reader, _):
                found = await answer_of(reader)
                return found["code"], (await reader.readexactly(found["bytes"])).decode(errors="replace")

        return self._call(run())


@contextlib.contextmanager
def fake_daytona(
    folder: Path | None = None, *, claude: Path | None = None, tier: int = 3, snapshots: tuple[str, ...] = ()
) -> Iterator[FakeDaytona]:
    """Serves until the end, at which nothing of it lives and nothing is left of what it put below `folder`.

    `claude` is the program that is /opt/claude/claude inside. `tier` below 3: 400 on `domainAllowList`, and sandboxes
    reach the essential services only. `snapshots` are there from the start, and one named "default" always is.
    """
    with tempfile.TemporaryDirectory(prefix="daytona-", dir=folder) as ground:
        fake = FakeDaytona(Path(ground), claude=claude, tier=tier)
        fake._start()
        try:
            for name in ("default", *snapshots):
                fake.add_snapshot(name)
            yield fake
        finally:
            fake._stop()
