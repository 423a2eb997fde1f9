"""Everybody who watches a run sees all of it, once and in order, whenever they come and however slow others are."""

import asyncio
import random  # noqa: TID251 -- seeded: what fails once fails again
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.model import RunId
from bot.runs.store import Store
from bot.web import sse
from bot.web.connection import Connection
from bot.web.hub import Bounds, Hub, Watcher
from bot.web.stream import EventStream
from tests.prompt_server import PromptServer
from tests.runs.conftest import opened
from tests.web.serving import NOON, a_run, ended, messages, said, served, store_on, until

_SMALL = Bounds(events=20)
_BIG = "x" * 20_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with opened(url) as tables:
        yield store_on(tables)


@pytest.fixture
def hub(store: Store) -> Hub:
    return Hub(store)


async def numbers(hub: Hub, run_id: RunId, after: int = 0) -> list[int]:
    """Of all events that a watcher gets until its end."""
    async with hub.watch(run_id, after) as watcher:
        return [stored.seq async for stored in watcher]


async def read_up_to(watcher: Watcher, seq: int) -> list[int]:
    seen: list[int] = []
    while not seen or seen[-1] < seq:
        frames = await watcher.frames()
        assert frames is not None
        seen += [frame.stored.seq for frame in frames]
    return seen


async def test_everybody_sees_the_same_from_one_reader(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    watching = [asyncio.create_task(numbers(hub, run_id)) for _ in range(50)]
    for number in range(30):
        await store.append(run_id, said(number), NOON)
    assert hub.watched == 1
    await ended(store, run_id)
    assert await asyncio.gather(*watching) == [list(range(1, 33))] * 50
    assert hub.watched == 0


async def test_an_event_is_encoded_once_for_all(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    async with hub.watch(run_id, 0) as one, hub.watch(run_id, 0) as another:
        ours, theirs = await one.frames(), await another.frames()
    assert ours
    assert theirs
    assert ours[0].data is theirs[0].data
    assert ours[0].data == sse.frame((await store.all_events(run_id))[0])


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(events=4)], ids=["in memory", "most of it in the store only"])
async def test_it_goes_on_from_every_place(store: Store, bounds: Bounds) -> None:
    run_id = await a_run(store)
    await store.append(run_id, said(*range(10)), NOON)
    hub = Hub(store, bounds=bounds)
    watching = [asyncio.create_task(numbers(hub, run_id, after)) for after in range(16)]
    await store.append(run_id, said(*range(3)), NOON)
    await ended(store, run_id)
    assert await asyncio.gather(*watching) == [list(range(after + 1, 16)) for after in range(16)]


async def test_a_place_in_the_future_is_waited_for(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    watching = asyncio.create_task(numbers(hub, run_id, 4))
    await store.append(run_id, said(*range(5)), NOON)
    await ended(store, run_id)
    assert await watching == [5, 6, 7]


@pytest.mark.parametrize("after", [2, 3, 10**14], ids=["at the end", "just behind it", "far behind it"])
async def test_behind_the_end_nothing_comes(after: int, store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    await ended(store, run_id)
    assert await numbers(hub, run_id, after) == []


async def test_a_place_far_in_the_future_ends_with_the_run(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    watching = asyncio.create_task(numbers(hub, run_id, 10**14))
    await until(lambda: hub.watched == 1)
    await ended(store, run_id)
    assert await watching == []


async def test_what_another_process_writes_is_seen(url: str, store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    with opened(url) as tables:
        other = store_on(tables)
        async with hub.watch(run_id, 0) as watcher:
            assert await read_up_to(watcher, 1) == [1]
            await other.append(run_id, said("from elsewhere"), NOON)
            assert await read_up_to(watcher, 2) == [2]


async def test_a_slow_watcher_is_dropped_and_goes_on_behind_its_place(store: Store) -> None:
    hub = Hub(store, bounds=_SMALL)
    run_id = await a_run(store)
    async with hub.watch(run_id, 0) as slow, hub.watch(run_id, 0) as quick:
        assert await read_up_to(slow, 1) == [1]
        assert await read_up_to(quick, 1) == [1]
        for last in range(11, 61, 10):
            await store.append(run_id, said(*range(10)), NOON)
            assert await read_up_to(quick, last) == list(range(last - 9, last + 1))
        assert await slow.frames() is None
        assert slow.dropped
        assert not quick.dropped
        await ended(store, run_id)
        assert await numbers(hub, run_id, 1) == list(range(2, 53))


async def test_who_comes_late_is_not_dropped_for_what_was_before(store: Store) -> None:
    hub = Hub(store, bounds=_SMALL)
    run_id = await a_run(store)
    await store.append(run_id, said(*range(500)), NOON)
    async with hub.watch(run_id, 400) as watcher:
        assert (await read_up_to(watcher, 501))[-1] == 501
        late = asyncio.create_task(numbers(hub, run_id))
        await store.append(run_id, said(*range(100)), NOON)
        await ended(store, run_id)
        assert await late == list(range(1, 603))


async def test_what_lies_in_memory_is_bounded_by_size_too(store: Store) -> None:
    hub = Hub(store, bounds=Bounds(size_bytes=5 * len(_BIG)))
    run_id = await a_run(store)
    async with hub.watch(run_id, 0) as slow, hub.watch(run_id, 0) as quick:
        await read_up_to(slow, 1)
        for last in (11, 21):
            await store.append(run_id, said(*[_BIG] * 10), NOON)
            await read_up_to(quick, last)
        assert await slow.frames() is None
        assert slow.dropped


async def test_there_are_signs_of_life_while_nothing_happens(store: Store) -> None:
    hub = Hub(store, keep_alive_seconds=0.05)
    run_id = await a_run(store)
    async with hub.watch(run_id, 0) as watcher:
        await read_up_to(watcher, 1)
        assert await watcher.frames() == []


async def test_watchers_leave_when_the_server_ends(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    async with hub.watch(run_id, 0) as watcher:
        assert await read_up_to(watcher, 1) == [1]
        hub.close()
        assert [stored.seq async for stored in watcher] == []
    assert await numbers(hub, run_id) == []


@pytest.mark.parametrize("seed", range(4))
async def test_between_the_store_and_live_nothing_is_lost_or_doubled(seed: int, url: str, store: Store) -> None:
    """Writers of two processes, and watchers who come, go and come back at any time."""
    chance = random.Random(seed)
    hub = Hub(store, bounds=Bounds(events=chance.choice([5, 50, 2_000])))
    run_id = await a_run(store)
    last = 400

    async def breathe() -> None:
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)

    async def write() -> None:
        with opened(url) as tables:
            stores = [store, store_on(tables)]
            written = 1
            while written < last - 1:
                batch = min(chance.choice([1, 1, 1, 2, 30]), last - 1 - written)
                at = NOON + timedelta(seconds=written)
                written = await chance.choice(stores).append(run_id, said(*range(batch)), at)
                await breathe()
            await ended(store, run_id)

    async def watch() -> list[int]:
        seen: list[int] = []
        while not seen or seen[-1] < last:
            async with hub.watch(run_id, seen[-1] if seen else 0) as watcher:
                stays = chance.randrange(1, 100)
                async for stored in watcher:
                    seen.append(stored.seq)
                    await breathe()
                    stays -= 1
                    if not stays:
                        break
        return seen

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        watching = []
        for _ in range(25):
            watching.append(group.create_task(watch()))
            await breathe()
    assert [task.result() for task in watching] == [list(range(1, last + 1))] * 25
    assert hub.watched == 0


# Over HTTP


class Hasty(Connection):
    """Half a minute is long for a test."""

    patience_seconds: ClassVar[float] = 0.3


@asynccontextmanager
async def streaming(hub: Hub, connection: type[Connection] = Connection) -> AsyncIterator[tuple[str, PromptServer]]:
    async def stream(request: Request) -> Response:
        return EventStream(hub, RunId(request.path_params["run_id"]), int(request.query_params.get("after", "0")))

    async with served(Starlette(routes=[Route("/{run_id}", stream)]), hub, connection) as (address, server):
        yield address, server


async def read_all(address: str, run_id: RunId) -> str:
    async with httpx.AsyncClient(timeout=30) as client:
        return (await client.get(f"{address}/{run_id}")).text


async def test_the_stream_is_as_the_contract_has_it(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    await ended(store, run_id)
    async with streaming(hub) as (address, _), httpx.AsyncClient(verify=False) as client:
        answer = await client.get(f"{address}/{run_id}")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert "no-store" in answer.headers["cache-control"]
    assert [message.seq for message in messages(answer.text.splitlines())] == [1, 2]
    assert answer.text.endswith("\n\n")


async def test_a_reader_who_does_not_read_is_cut_off_and_others_get_everything(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    async with streaming(hub, Hasty) as (address, server):
        host, port = address.removeprefix("http://").split(":")
        idle = socket.socket()
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect((host, int(port)))
        idle.sendall(f"GET /{run_id} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await until(lambda: hub.watched == 1)
        reading = [asyncio.create_task(read_all(address, run_id)) for _ in range(5)]
        await until(lambda: len(server.server_state.connections) == 6)
        for _ in range(50):
            await store.append(run_id, said(_BIG), NOON)
        await until(lambda: len(server.server_state.connections) == 5, "the idle one is cut off")
        await ended(store, run_id)
        for text in await asyncio.gather(*reading):
            assert [message.seq for message in messages(text.splitlines())] == list(range(1, 53))
        idle.close()


async def test_a_dropped_reader_is_told_to_come_back(store: Store) -> None:
    hub = Hub(store, bounds=_SMALL)
    run_id = await a_run(store)
    async with streaming(hub) as (address, _), httpx.AsyncClient(timeout=30) as client:
        async with client.stream("GET", f"{address}/{run_id}") as slow:
            lines = slow.aiter_lines()
            assert await anext(lines) == "id: 1"
            async with hub.watch(run_id, 0) as quick:
                for last in range(21, 402, 20):
                    # More than the sockets between the two hold.
                    await store.append(run_id, said(*[_BIG] * 20), NOON)
                    await read_up_to(quick, last)
            rest = [line async for line in lines]
        assert rest[-2:] == [sse.DROPPED.decode().strip(), ""]
        last = list(messages(rest))[-1].seq
        await ended(store, run_id)
        again = await client.get(f"{address}/{run_id}", params={"after": last})
        assert [message.seq for message in messages(again.text.splitlines())] == list(range(last + 1, 403))


async def test_a_reader_who_goes_away_is_forgotten(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    async with streaming(hub) as (address, _), httpx.AsyncClient(verify=False) as client:
        async with client.stream("GET", f"{address}/{run_id}") as stream:
            assert await anext(stream.aiter_lines()) == "id: 1"
            assert hub.watched == 1
        await until(lambda: hub.watched == 0, "nobody watches")


async def test_streams_end_when_the_server_is_told_to(store: Store, hub: Hub) -> None:
    run_id = await a_run(store)
    async with streaming(hub) as (address, server):
        reading = asyncio.create_task(read_all(address, run_id))
        await until(lambda: hub.watched == 1)
        server.stop()
        assert [message.seq for message in messages((await reading).splitlines())] == [1]
