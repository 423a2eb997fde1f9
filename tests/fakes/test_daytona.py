"""The Daytona emulator's control plane, asked by the real SDK."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from daytona import AsyncDaytona, CreateSnapshotParams, Image, ListSandboxesQuery, Resources
from daytona.common.errors import (
    DaytonaAuthenticationError,
    DaytonaBadRequestError,
    DaytonaConflictError,
    DaytonaNotFoundError,
)
from daytona_api_client_async.exceptions import BadRequestException

from tests.deployment import until
from tests.fakes.daytona import FakeDaytona, Policy, description, fake_daytona
from tests.fakes.daytona.client import asked, connected
from tests.shared_data import SHARED_DATA, needs_shared_data


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeDaytona]:
    with fake_daytona() as fake:
        yield fake


@pytest.fixture
def fake(emulator: FakeDaytona) -> Iterator[FakeDaytona]:
    """Without sandboxes, before and after."""
    yield emulator
    emulator.faults.clear()
    emulator.lag(0)
    emulator.destroy_all()
    emulator.assert_clean()


@pytest.fixture
async def client(fake: FakeDaytona) -> AsyncIterator[AsyncDaytona]:
    async with connected(fake) as made:
        yield made


async def test_a_created_sandbox_is_found_by_name_and_by_id(client: AsyncDaytona) -> None:
    box = await client.create(asked("one", labels={"run": "r"}))
    for word in ("one", box.id):
        found = await client.get(word)
        assert (found.id, found.name, found.state, found.cpu, found.memory, found.disk) == (
            *(box.id, "one", "started"),
            *(2, 4, 10),
        )
        assert found.labels == {"run": "r", "code-toolbox-language": "python"}
        assert (found.auto_stop_interval, found.auto_delete_interval) == (30, 60)
        assert found.auto_destroy_at
        assert found.domain_allow_list == "127.0.0.1"


async def test_a_name_is_given_once_and_is_free_again_after_delete(client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    with pytest.raises(DaytonaConflictError):
        await client.create(asked("one"))
    await client.delete(box, wait=True)
    with pytest.raises(DaytonaNotFoundError):
        await client.get("one")
    assert (await client.create(asked("one"))).id != box.id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"snapshot": "never"}, "not found"),
        ({"snapshot": "asleep"}, "is inactive"),
        ({"domain_allow_list": ",".join(f"{n}.example" for n in range(11))}, "at most 10"),
    ],
    ids=["no such snapshot", "inactive snapshot", "eleven domains"],
)
async def test_what_it_refuses_to_create(
    fake: FakeDaytona, client: AsyncDaytona, change: dict[str, str], words: str
) -> None:
    if "asleep" not in fake.snapshots():
        fake.add_snapshot("asleep", state="inactive")
    with pytest.raises(DaytonaBadRequestError, match=words):
        await client.create(asked("one", **change))
    assert fake.sandboxes() == []


async def test_a_wrong_key_is_told_so(fake: FakeDaytona) -> None:
    async with connected(fake, "dtn_wrong") as client:
        with pytest.raises(DaytonaAuthenticationError):
            await client.get("one")


async def names(client: AsyncDaytona, labels: dict[str, str] | None = None, limit: int | None = None) -> list[str]:
    return [box.name async for box in client.list(ListSandboxesQuery(labels=labels, limit=limit))]


async def test_the_list_is_filtered_by_labels_and_comes_in_pages(client: AsyncDaytona) -> None:
    for name, owner in (("a", "us"), ("b", "us"), ("c", "them")):
        await client.create(asked(name, labels={"owner": owner, "name": name}))
    assert await names(client, labels={"owner": "us"}, limit=1) == ["a", "b"]
    assert await names(client, labels={"owner": "us", "name": "b"}) == ["b"]
    assert await names(client) == ["a", "b", "c"]


async def test_the_list_may_be_behind(fake: FakeDaytona, client: AsyncDaytona) -> None:
    old = await client.create(asked("old"))
    fake.lag(60)
    await client.create(asked("new"))
    await client.delete(old, wait=True)
    fake.pass_time(minutes=0.5)
    assert await names(client) == []
    fake.pass_time(minutes=1)
    assert await names(client) == ["new"]


async def test_labels_are_replaced(client: AsyncDaytona) -> None:
    box = await client.create(asked("one", labels={"a": "1"}))
    await box.set_labels({"b": "2"})
    assert (await client.get("one")).labels == {"b": "2"}


async def test_intervals_and_network_are_changed(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    await box.set_autostop_interval(5)
    await box.set_auto_delete_interval(-1)
    await box.update_network_settings(network_block_all=True)
    (seen,) = fake.sandboxes()
    assert (seen.auto_stop, seen.auto_delete, seen.policy) == (5, -1, Policy(block_all=True))


async def test_an_idle_sandbox_stops_and_is_deleted_after_a_while(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    fake.pass_time(minutes=20)
    await box.refresh_activity()
    fake.pass_time(minutes=20)
    assert [seen.state for seen in fake.sandboxes()] == ["started"]
    await box.process.exec("true", timeout=5)
    fake.pass_time(minutes=29)
    assert [seen.state for seen in fake.sandboxes()] == ["started"]
    fake.pass_time(minutes=2)
    assert [seen.state for seen in fake.sandboxes()] == ["stopped"]
    fake.pass_time(minutes=61)
    assert fake.sandboxes() == []


async def test_a_life_has_an_end_whatever_happens(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one", auto_stop_interval=0))
    for _ in range(2):
        fake.pass_time(minutes=59)
        await box.process.exec("true", timeout=5)
    fake.pass_time(minutes=3)
    with pytest.raises(DaytonaNotFoundError):
        await client.get("one")


async def test_delete_without_waiting_goes_on_in_the_background(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    await client.delete(box)
    until(lambda: not fake.sandboxes())
    with pytest.raises(DaytonaNotFoundError):
        await client.delete(box)


async def test_a_snapshot_is_built_and_told_about(fake: FakeDaytona, client: AsyncDaytona) -> None:
    said: list[str] = []
    image = Image.base("debian:12").run_commands("useradd agent")
    built = await client.snapshot.create(
        CreateSnapshotParams(name="ours", image=image, resources=Resources(cpu=2, memory=8, disk=10)),
        on_logs=said.append,
    )
    assert (built.state, built.cpu, built.mem, built.disk) == ("active", 2, 8, 10)
    assert any("useradd agent" in line for line in said)
    assert (await client.create(asked("one", snapshot="ours"))).memory == 8
    assert "ours" in [snapshot.name for snapshot in (await client.snapshot.list(limit=100)).items]


async def test_an_inactive_snapshot_is_activated(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.add_snapshot("sleeping", state="inactive")
    await client.snapshot.activate("sleeping")
    until(lambda: fake.snapshots()["sleeping"] == "active")
    with pytest.raises(BadRequestException):  # the SDK does not translate what this call is refused with
        await client.snapshot.activate("sleeping")
    with pytest.raises(DaytonaNotFoundError):
        await client.snapshot.get("never")


@needs_shared_data
async def test_the_sdk_asks_as_it_was_recorded(fake: FakeDaytona, client: AsyncDaytona) -> None:
    lines = (SHARED_DATA / "daytona" / "wire-sdk-0.226.1.jsonl").read_text().splitlines()
    recorded = {(line["method"], line["path"]): line for line in map(json.loads, reversed(lines))}
    begin = len(fake.requests)
    box = await client.create(
        asked(
            "one",
            env_vars={"A": "b"},
            labels={"app": "bot"},
            network_allow_list="203.0.113.7/32",
            outbound_proxy_url="http://proxy:8080",
        )
    )
    await box.process.exec("true", cwd="/tmp", env={"X": "1"}, timeout=10)
    await box.set_labels({"app": "bot"})
    await box.stop()
    for logged in fake.requests[begin:]:
        known = recorded.get((logged.method, logged.path.replace("/sandbox", "/api/sandbox", 1).replace("one", "{id}")))
        if known is None:
            continue
        headers = {name.lower() for name in known["headers"]} - {"content-length", "sec-websocket-version"}
        assert headers <= logged.headers.keys(), logged.call
        if isinstance(logged.body, dict):
            # The recorded sandbox had no name, and took a secret.
            assert logged.body.keys() - {"name"} == json.loads(known["body"]).keys() - {"secrets"}, logged.call


@needs_shared_data
def test_the_description_knows_what_is_wrong() -> None:
    described = description.load()
    assert described
    api = described["api"]
    assert api.request("POST", "/sandbox", [], {"name": "x", "kvm": False}) == []
    assert "'surprise' was unexpected" in str(api.request("POST", "/sandbox", [], {"surprise": 1}))
    assert "no parameter" in str(api.request("GET", "/sandbox", ["surprise"], None))
    assert "'kvm' is a required property" in str(api.answer("GET", "/sandbox/{sandboxIdOrName}", 200, {}))
    assert api.answer("GET", "/sandbox", 200, {"items": [], "nextCursor": None}) == []
    assert "not described" in str(api.answer("GET", "/sandbox", 201, {}))
