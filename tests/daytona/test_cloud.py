"""A sandbox on Daytona is made once, found again and never left behind, whatever the calls come to."""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath

import pytest

from bot.daytona.cloud import Cloud, connect
from bot.daytona.failures import (
    CommandTimedOut,
    DaytonaFailed,
    DaytonaMissing,
    KeyRefused,
    NameTaken,
    NoTimeToLive,
    PolicyRefused,
    SandboxGone,
    SnapshotUnusable,
    TooManySandboxes,
    Unanswered,
)
from tests.fakes.daytona import FakeDaytona, Fault, Seen, fake_daytona

KEY = "5c1f6a52-3b6e-4a53-8a5a-0d3f4f4a9d10"
FILE = PurePosixPath("/workspace/notes/log")
Connect = Callable[..., AbstractAsyncContextManager[Cloud]]


@pytest.fixture(scope="module")
def daytona() -> Iterator[FakeDaytona]:
    with fake_daytona() as fake:
        yield fake
        fake.assert_clean()


@pytest.fixture
def fake(daytona: FakeDaytona) -> Iterator[FakeDaytona]:
    yield daytona
    daytona.faults.clear()
    daytona.lag(0)
    daytona.destroy_all()
    daytona.requests.clear()


@pytest.fixture
def connected(fake: FakeDaytona) -> Connect:
    """Each a process of its own, of one deployment unless another is named."""
    ours = secrets.token_hex(5)

    def new(**changed: object) -> AbstractAsyncContextManager[Cloud]:
        given: dict[str, object] = {
            "api_key": fake.api_key,
            "api_url": fake.api_url,
            "target": None,
            "deployment": ours,
            "new_id": secrets.token_hex,
        }
        return connect(**{**given, **changed})  # type: ignore[arg-type]  # a table of keyword arguments

    return new


@pytest.fixture
async def cloud(connected: Connect) -> AsyncIterator[Cloud]:
    async with connected() as cloud:
        yield cloud


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


async def create(cloud: Cloud, key: str = KEY, *, hosts: tuple[str, ...] | None = None) -> str:
    """Its id."""
    return (await cloud.create(key, run=KEY, snapshot="default", ttl_minutes=90, hosts=hosts)).id


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not fact():  # noqa: ASYNC110 -- the emulator runs in another thread
            await asyncio.sleep(0.02)


async def none_left(fake: FakeDaytona) -> None:
    """What is being destroyed takes a moment."""
    await until(lambda: not fake.sandboxes())


def only(fake: FakeDaytona) -> Seen:
    (seen,) = fake.sandboxes()
    return seen


# --- made


async def test_a_sandbox_ends_without_us_and_reaches_what_it_may(cloud: Cloud, fake: FakeDaytona) -> None:
    found = await cloud.create(
        KEY, run=KEY, snapshot="default", ttl_minutes=90, hosts=("broker.example", "*.a.example")
    )
    seen = only(fake)
    assert (seen.name, seen.state, seen.id) == (cloud.name(KEY), "started", found.id)
    assert (seen.ttl_minutes, seen.auto_stop, seen.auto_delete) == (90, 30, 60)
    assert seen.policy.domains == ("broker.example", "*.a.example")
    assert {**seen.labels, "attempt": ""}.items() >= {"run": KEY, "key": KEY}.items()
    assert seen.name.startswith(f"backspace-{seen.labels['backspace']}-")
    assert (found.cpu, found.memory_gib, found.disk_gib) == (2, 4, 10)


async def test_no_policy_and_an_empty_one_differ(cloud: Cloud, fake: FakeDaytona) -> None:
    await create(cloud)
    assert only(fake).policy.domains is None
    await create(cloud, hosts=())
    assert only(fake).policy.domains == ()


async def test_one_that_has_the_name_makes_way(connected: Connect, fake: FakeDaytona) -> None:
    async with connected() as before:
        former = await create(before)
    async with connected() as cloud:
        assert await create(cloud) != former
    assert only(fake).state == "started"


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Fault.SERVER_ERROR_AFTER, 1),
        (Fault.DROP_AFTER, 1),
        (Fault.SERVER_ERROR, 2),
        (Fault.DROP, 1),
        (Fault.TOO_MANY, 1),
        (Fault.STARTS_LATE, 1),
    ],
)
async def test_a_create_call_that_goes_wrong_still_makes_one(
    cloud: Cloud, fake: FakeDaytona, fault: Fault, times: int
) -> None:
    made = fake.created
    fake.fail(fault, match="POST /sandbox", times=times, seconds=0.3)
    found = await create(cloud)
    assert (only(fake).id, only(fake).state, fake.created - made) == (found, "started", 1)
    assert await cloud.execute(KEY, "true", timeout_seconds=5) == (0, "")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.WITHOUT_KVM, DaytonaFailed),
        (Fault.WITHOUT_TTL, NoTimeToLive),
        (Fault.START_FAILS, DaytonaFailed),
        (Fault.POLICY_REFUSED, PolicyRefused),
        (Fault.UNAUTHORIZED, KeyRefused),
    ],
)
async def test_a_create_call_that_fails_leaves_none(
    cloud: Cloud, fake: FakeDaytona, fault: Fault, error: type[DaytonaFailed]
) -> None:
    fake.fail(fault, match="POST /sandbox")
    with pytest.raises(error):
        await create(cloud, hosts=("broker.example",))
    await none_left(fake)
    await create(cloud)


async def test_a_create_call_that_is_cancelled_leaves_none(cloud: Cloud, fake: FakeDaytona) -> None:
    fake.fail(Fault.STARTS_LATE, seconds=60)
    creating = asyncio.create_task(create(cloud))
    await until(lambda: bool(fake.sandboxes()))
    creating.cancel()
    await asyncio.wait([creating])
    assert creating.cancelled()
    await none_left(fake)


async def test_a_name_that_is_never_free_is_no_endless_wait(connected: Connect, fake: FakeDaytona) -> None:
    async with connected(sleep=no_pause) as cloud:
        await create(cloud)
        fake.fail(Fault.DELETE_STUCK, times=-1)
        with pytest.raises(NameTaken):
            await create(cloud)


async def test_a_pause_that_daytona_asks_for_is_made(connected: Connect, fake: FakeDaytona) -> None:
    pauses = []

    async def noting(seconds: float) -> None:
        pauses.append(seconds)

    async with connected(sleep=noting) as cloud:
        fake.fail(Fault.TOO_MANY, times=2)
        assert await cloud.find(KEY) is None
    assert len(pauses) == 2
    assert min(pauses) >= 1


async def test_daytona_being_away_is_said(connected: Connect, fake: FakeDaytona) -> None:
    async with connected(sleep=no_pause) as cloud:
        fake.fail(Fault.SERVER_ERROR, times=-1)
        with pytest.raises(Unanswered) as caught:
            await cloud.find(KEY)
    assert caught.value.retry_helps


async def test_a_dotenv_file_in_the_current_directory_changes_nothing(
    connected: Connect, fake: FakeDaytona, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "DAYTONA_TARGET=elsewhere\nDAYTONA_API_URL=http://127.0.0.1:9/api\nDAYTONA_OTEL_ENABLED=true\n"
    )
    monkeypatch.chdir(tmp_path)
    async with connected() as cloud:
        await create(cloud)
    (order,) = [request.body for request in fake.requests if request.call == "POST /sandbox"]
    assert isinstance(order, dict)
    assert "target" not in order


async def test_without_the_extra_it_is_said_what_to_install(
    connected: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "daytona._async.daytona", None)
    with pytest.raises(DaytonaMissing, match="extra `daytona`"):
        async with connected():
            pass


# --- the snapshot that it is made from


async def test_an_inactive_snapshot_is_woken(connected: Connect, fake: FakeDaytona) -> None:
    fake.add_snapshot("asleep", state="inactive")
    async with connected(sleep=no_pause) as cloud:
        await cloud.create(KEY, run=KEY, snapshot="asleep", ttl_minutes=90, hosts=None)
    assert fake.snapshots()["asleep"] == "active"


@pytest.mark.parametrize("state", [None, "build_failed"])
async def test_a_snapshot_that_cannot_be_used_is_said_with_what_to_do(
    cloud: Cloud, fake: FakeDaytona, state: str | None
) -> None:
    if state:
        fake.add_snapshot(state, state=state)
    with pytest.raises(SnapshotUnusable, match="backspace daytona snapshot"):
        await cloud.create(KEY, run=KEY, snapshot=state or "none", ttl_minutes=90, hosts=None)
    assert fake.sandboxes() == []


# --- found, counted, deleted


async def test_another_process_of_the_deployment_finds_it_and_no_other_does(
    connected: Connect, cloud: Cloud, fake: FakeDaytona
) -> None:
    await create(cloud)
    async with connected() as other:
        assert await other.execute(KEY, "echo here", timeout_seconds=5) == (0, "here\n")
        found = await other.find(KEY)
        assert found is not None
        assert (found.key, found.state, found.id) == (KEY, "started", only(fake).id)
        assert [one.key for one in await other.owned()] == [KEY]
    async with connected(deployment="0" * 10) as foreign:
        assert await foreign.find(KEY) is None
        assert await foreign.owned() == []


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(cloud: Cloud, fake: FakeDaytona) -> None:
    await create(cloud)
    fake.fail(Fault.SERVER_ERROR, match="DELETE /sandbox/*")
    await cloud.delete(KEY)
    assert await cloud.find(KEY) is None
    await cloud.delete(KEY)
    await none_left(fake)


async def test_one_that_is_being_destroyed_for_ever_does_not_hold_us_up(cloud: Cloud, fake: FakeDaytona) -> None:
    await create(cloud)
    fake.fail(Fault.DELETE_STUCK)
    await cloud.delete(KEY)
    assert (only(fake).state, await cloud.find(KEY), await cloud.owned()) == ("destroying", None, [])


async def test_a_list_that_runs_behind_misleads_nobody(cloud: Cloud, fake: FakeDaytona) -> None:
    await create(cloud, "a")
    fake.lag(3600)
    await create(cloud, "b")
    assert sorted(one.key for one in await cloud.owned()) == ["a", "b"]
    await cloud.delete("a")
    await until(lambda: [seen.labels["key"] for seen in fake.sandboxes()] == ["b"])
    assert [one.key for one in await cloud.owned()] == ["b"]


async def test_no_more_sandboxes_than_the_ceiling(connected: Connect, fake: FakeDaytona) -> None:
    async with connected() as before:
        await create(before, "of-before")
    async with connected(ceiling=2, place_seconds=0.3, sleep=no_pause) as cloud:
        await create(cloud, "a")
        await create(cloud, "a")
        with pytest.raises(TooManySandboxes, match="BACKSPACE_DAYTONA_MAX_SANDBOXES"):
            await create(cloud, "b")
        assert len(fake.sandboxes()) == 2
        fake.destroy(cloud.name("of-before"))
        await create(cloud, "b")
        await cloud.delete("a")
        await create(cloud, "c")


async def test_a_place_that_becomes_free_is_taken_by_who_waits(connected: Connect) -> None:
    async with connected(ceiling=1, sleep=no_pause) as cloud:
        await create(cloud, "a")
        waiting = asyncio.create_task(create(cloud, "b"))
        await asyncio.sleep(0)
        await cloud.delete("a")
        await waiting
        assert [one.key for one in await cloud.owned()] == ["b"]


# --- inside


async def test_a_command_says_how_it_ended(cloud: Cloud) -> None:
    await create(cloud)
    assert await cloud.execute(KEY, "echo out; echo err >&2; exit 7", timeout_seconds=5) == (7, "out\nerr\n")
    with pytest.raises(CommandTimedOut):
        await cloud.execute(KEY, "sleep 60", timeout_seconds=1)


@pytest.mark.parametrize("fault", [Fault.BAD_GATEWAY, Fault.BAD_GATEWAY_AFTER, Fault.DROP_AFTER])
async def test_a_lost_answer_is_asked_for_again_if_that_is_allowed(
    cloud: Cloud, fake: FakeDaytona, fault: Fault
) -> None:
    await create(cloud)
    fake.fail(fault, match="POST /toolbox/*/execute")
    assert await cloud.execute(KEY, "echo again", timeout_seconds=5) == (0, "again\n")
    fake.fail(fault, match="POST /toolbox/*/execute")
    with pytest.raises(Unanswered):
        await cloud.execute(KEY, "echo once", timeout_seconds=5, repeatable=False)


@pytest.mark.parametrize("known", [True, False], ids=["of-this-process", "of-another"])
async def test_a_sandbox_that_does_not_run_is_lost(connected: Connect, fake: FakeDaytona, *, known: bool) -> None:
    async with connected() as cloud, connected() as other:
        await create(cloud)
        asking = cloud if known else other
        fake.stop(cloud.name(KEY))
        with pytest.raises(SandboxGone) as caught:
            await asking.execute(KEY, "true", timeout_seconds=5)
        assert caught.value.state == "stopped"
        fake.destroy(cloud.name(KEY))
        with pytest.raises(SandboxGone):
            await asking.upload(KEY, {FILE: b""})
        with pytest.raises(SandboxGone):
            await asking.download(KEY, FILE, limit_bytes=1)


async def test_a_sandbox_that_says_nothing_more_is_lost_in_the_end(connected: Connect, fake: FakeDaytona) -> None:
    async with connected(sleep=no_pause) as cloud:
        await create(cloud)
        fake.die(cloud.name(KEY))
        with pytest.raises(SandboxGone, match="does not answer"):
            await cloud.execute(KEY, "true", timeout_seconds=5)


async def test_a_new_sandbox_of_the_name_is_the_one_that_is_asked(connected: Connect) -> None:
    async with connected() as cloud, connected() as other:
        await create(cloud)
        await cloud.execute(KEY, "true", timeout_seconds=5)
        await create(other)
        await other.upload(KEY, {FILE: b"new"})
        assert await cloud.execute(KEY, f"cat {FILE}", timeout_seconds=5) == (0, "new")


async def test_files_go_in_from_memory_and_from_disk(cloud: Cloud, tmp_path: Path) -> None:
    content = secrets.token_bytes(300_000)
    (tmp_path / "file").write_bytes(content)
    await create(cloud)
    other = PurePosixPath("/home/agent/with space")
    await cloud.upload(KEY, {FILE: b"a", other: tmp_path / "file"})
    await cloud.upload(KEY, {FILE: b"b"})
    assert await cloud.download(KEY, FILE, limit_bytes=10) == b"b"
    assert await cloud.download(KEY, other, limit_bytes=1_000_000) == content
    with pytest.raises(DaytonaFailed):
        await cloud.upload(KEY, {PurePosixPath("/etc/notes"): b""})


@pytest.mark.parametrize("heeded", [True, False], ids=["ranges", "no-ranges"])
async def test_a_file_is_read_from_any_byte(connected: Connect, fake: FakeDaytona, *, heeded: bool) -> None:
    content = secrets.token_bytes(700_000)
    empty = FILE.with_name("it's empty")
    if not heeded:
        fake.fail(Fault.RANGE_IGNORED, times=-1)
    async with connected() as cloud:
        await create(cloud)
        await cloud.upload(KEY, {FILE: content, empty: b""})
        assert await cloud.download(KEY, FILE, limit_bytes=1_000_000) == content
        assert await cloud.download(KEY, FILE, offset=3, limit_bytes=600_000) == content[3:600_003]
        assert await cloud.download(KEY, FILE, offset=699_999, limit_bytes=5) == content[-1:]
        assert await cloud.download(KEY, FILE, offset=700_000, limit_bytes=5) == b""
        assert await cloud.download(KEY, FILE, offset=800_000, limit_bytes=5) == b""
        assert await cloud.download(KEY, FILE, limit_bytes=0) == b""
        assert await cloud.download(KEY, empty, limit_bytes=5) == b""
        assert await cloud.download(KEY, FILE.with_name("none"), limit_bytes=5) is None
    asked = [request.call for request in fake.requests if "/files/download" in request.path]
    assert len(asked) == (7 if heeded else 1)


async def test_a_file_that_is_read_while_the_way_is_broken_arrives(cloud: Cloud, fake: FakeDaytona) -> None:
    await create(cloud)
    await cloud.upload(KEY, {FILE: b"0123456789"})
    fake.fail(Fault.BAD_GATEWAY, match="GET /toolbox/*", times=2)
    assert await cloud.download(KEY, FILE, offset=5, limit_bytes=3) == b"567"
