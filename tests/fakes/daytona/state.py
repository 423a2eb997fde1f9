"""What the control plane knows: sandboxes and snapshots, and what time does to them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fakes.daytona import container
from tests.fakes.daytona.container import Container, Dead, Ground
from tests.fakes.daytona.internet import Internet, Policy, View

Json = dict[str, Any]
_MINUTE = timedelta(minutes=1)


class Refused(Exception):
    """An answer other than the one that was asked for."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code


class Clock:
    """The real time, and what a test has turned it ahead by."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def advance(self, span: timedelta) -> None:
        self._ahead += span


@dataclass
class Snapshot:
    id: str
    name: str
    state: str
    created_at: datetime
    updated_at: datetime
    cpu: int = 1
    memory: int = 1
    disk: int = 3
    """GiB, as `memory`."""
    dockerfile: str = ""
    image: str = ""
    error: str = ""
    last_used_at: datetime | None = None


@dataclass
class Box:
    """One sandbox. Intervals in minutes, as on the wire."""

    id: str
    name: str
    snapshot: Snapshot
    labels: dict[str, str]
    env: dict[str, str]
    view: View
    folder: Path
    created_at: datetime
    updated_at: datetime
    last_activity_at: datetime
    target: str = "us"
    public: bool = False
    auto_stop: int = 15
    auto_archive: int = 10080
    auto_delete: int = -1
    ttl_minutes: int = 0
    state: str = "creating"
    desired: str = "started"
    error: str = ""
    stopped_at: datetime | None = None
    stuck: bool = False
    """Stays in `destroying`."""
    container: Container | None = field(default=None, repr=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def policy(self) -> Policy:
        return self.view.policy


@dataclass(frozen=True)
class Known:
    """A sandbox as an index had it at a moment; the list is read from the index."""

    at: datetime
    boxes: Mapping[str, tuple[Box, str]]


class Cloud:
    """One organisation. Every method runs on the server's loop."""

    def __init__(self, folder: Path, ground: Ground, internet: Internet, clock: Clock) -> None:
        self._folder = folder
        self._ground = ground
        self.internet = internet
        self.clock = clock
        self.boxes: dict[str, Box] = {}
        """By id; those that are destroyed are not in it."""
        self.snapshots: dict[str, Snapshot] = {}
        self.list_lag = timedelta()
        self.build_seconds = 0.2
        self.names: dict[str, str] = {}
        """Of every sandbox that there ever was, by id."""
        self._index: list[Known] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()

    # --- sandboxes

    def find(self, id_or_name: str) -> Box:
        if found := self.boxes.get(id_or_name):
            return found
        for box in self.boxes.values():
            if box.name == id_or_name:
                return box
        raise Refused(404, f"Sandbox with ID or name {id_or_name} not found", "NOT_FOUND")

    def add(self, order: Json, policy: Policy) -> Box:
        """Raises Refused."""
        snapshot = self._usable(str(order.get("snapshot") or "default"))
        key = str(uuid.uuid4())
        name = str(order.get("name") or key)
        if any(box.name == name for box in self.boxes.values()):
            raise Refused(409, f"Sandbox with name {name} already exists", "CONFLICT")
        now = self.clock.now()
        snapshot.last_used_at = now
        box = Box(
            id=key,
            name=name,
            snapshot=snapshot,
            labels=dict(order.get("labels") or {}),
            env=dict(order.get("env") or {}),
            view=View(self.internet, name, policy),
            folder=self._folder / key,
            created_at=now,
            updated_at=now,
            last_activity_at=now,
            target=order.get("target") or "us",
            public=bool(order.get("public", False)),
            auto_stop=order.get("autoStopInterval", 15),
            auto_archive=order.get("autoArchiveInterval", 10080),
            auto_delete=order.get("autoDeleteInterval", -1),
            ttl_minutes=order.get("ttlMinutes", 0),
        )
        container.make_folders(box.folder)
        self.boxes[key] = box
        self.names[key] = name
        self.changed(box)
        return box

    def changed(self, box: Box) -> None:
        """Something about it is new; remembers how the list was."""
        box.updated_at = self.clock.now()
        if self.list_lag:
            self._index.append(Known(box.updated_at, {box.id: (box, box.state) for box in self.boxes.values()}))

    def listed(self) -> list[tuple[Box, str]]:
        """Each with its state, as the list has it: some time behind."""
        if not self.list_lag:
            return [(box, box.state) for box in self.boxes.values()]
        seen = self.clock.now() - self.list_lag
        known = [entry for entry in self._index if entry.at <= seen]
        return list(known[-1].boxes.values()) if known else []

    async def start(self, box: Box) -> None:
        async with box.lock:
            if box.state not in ("creating", "starting", "stopped") or box.id not in self.boxes:
                return
            box.container = await Container.start(self._ground, box.folder, self._order(box), box.view.asked)
            box.state, box.stopped_at = "started", None
            box.last_activity_at = self.clock.now()
            self.changed(box)

    def _order(self, box: Box) -> container.Order:
        return container.Order(box.env, box.view.addresses(), box.view.listen())

    async def stop(self, box: Box) -> None:
        async with box.lock:
            if box.state != "started":
                return
            box.state = "stopping"
            await self._end(box)
            box.state, box.desired, box.stopped_at = "stopped", "stopped", self.clock.now()
            self.changed(box)
        if box.auto_delete == 0:
            await self.delete(box)

    async def delete(self, box: Box) -> None:
        async with box.lock:
            if box.stuck or box.id not in self.boxes:
                return
            box.state, box.desired = "destroying", "destroyed"
            self.changed(box)
            await self._end(box)
            await asyncio.to_thread(container.remove_tree, box.folder)
            box.state = "destroyed"
            del self.boxes[box.id]
            self.changed(box)

    async def _end(self, box: Box) -> None:
        if box.container:
            await box.container.kill()
            box.container = None

    async def die(self, box: Box) -> None:
        """Everything in it, while the control plane goes on believing that it is started."""
        async with box.lock:
            await self._end(box)

    async def network_changed(self, boxes: list[Box]) -> None:
        for box in boxes:
            if box.container:
                with suppress(Dead):
                    await box.container.ask({"do": "listen", "at": box.view.listen()})

    def soon(self, work: Callable[[], Any], seconds: float = 0.0) -> None:
        """Go on in the background; ends with the emulator."""

        async def later() -> None:
            try:
                await asyncio.wait_for(self._closing.wait(), seconds)
            except TimeoutError:
                await work()

        task = asyncio.get_running_loop().create_task(later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- time

    async def sweep(self) -> None:
        """What is due: end of life, idleness, and the time after a stop."""
        now = self.clock.now()
        for box in list(self.boxes.values()):
            stopped = box.stopped_at
            if (box.ttl_minutes and now >= box.created_at + box.ttl_minutes * _MINUTE) or (
                stopped and box.auto_delete > 0 and now >= stopped + box.auto_delete * _MINUTE
            ):
                await self.delete(box)
            elif box.state == "started" and box.auto_stop and now >= box.last_activity_at + box.auto_stop * _MINUTE:
                await self.stop(box)

    async def close(self) -> None:
        self._closing.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for box in list(self.boxes.values()):
            box.stuck = False
            await self.delete(box)
        await self.internet.close()

    # --- snapshots

    def snapshot(self, id_or_name: str) -> Snapshot:
        for snapshot in self.snapshots.values():
            if id_or_name in (snapshot.id, snapshot.name):
                return snapshot
        raise Refused(404, f"Snapshot {id_or_name} not found", "NOT_FOUND")

    def _usable(self, name: str) -> Snapshot:
        try:
            found = self.snapshot(name)
        except Refused as error:
            raise Refused(400, f"Snapshot {name} not found. Did you add it through the Daytona Dashboard?") from error
        if found.state != "active":
            raise Refused(400, f"Snapshot {name} is {found.state}")
        return found

    def add_snapshot(self, name: str, *, state: str, cpu: int, memory: int, disk: int, **text: str) -> Snapshot:
        if any(known.name == name for known in self.snapshots.values()):
            raise Refused(409, f"Snapshot with name {name} already exists", "CONFLICT")
        now = self.clock.now()
        key = str(uuid.uuid4())
        self.snapshots[key] = Snapshot(
            key, name, state, now, now, cpu, memory, disk, text.get("dockerfile", ""), text.get("image", "")
        )
        return self.snapshots[key]

    def becomes(self, snapshot: Snapshot, state: str, error: str = "") -> None:
        """After the time that a build takes."""

        async def done() -> None:
            snapshot.state, snapshot.error, snapshot.updated_at = state, error, self.clock.now()

        self.soon(done, self.build_seconds)
