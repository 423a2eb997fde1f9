"""The Daytona emulator's faults, as the real SDK sees them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from daytona import AsyncDaytona, CreateSnapshotParams
from daytona.common.errors import (
    DaytonaAuthenticationError,
    DaytonaBadGatewayError,
    DaytonaBadRequestError,
    DaytonaConnectionError,
    DaytonaError,
    DaytonaInternalServerError,
    DaytonaNotFoundError,
    DaytonaRateLimitError,
    DaytonaTimeoutError,
)
from pydantic import ValidationError

from tests.fakes.daytona import FakeDaytona, Fault, fake_daytona
from tests.fakes.daytona.client import asked, connected, downloaded


@pytest.fixture(scope="module")
def emulator() -> Iterator[FakeDaytona]:
    with fake_daytona() as made:
        yield made
        made.assert_clean()


@pytest.fixture
def fake(emulator: FakeDaytona) -> Iterator[FakeDaytona]:
    yield emulator
    assert not emulator.faults.pending()
    emulator.faults.clear()
    emulator.destroy_all()


@pytest.fixture
async def client(fake: FakeDaytona) -> AsyncIterator[AsyncDaytona]:
    async with connected(fake) as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "expected", "states"),
    [
        (Fault.SERVER_ERROR, DaytonaInternalServerError, []),
        (Fault.SERVER_ERROR_AFTER, DaytonaInternalServerError, ["started"]),
        (Fault.TOO_MANY, DaytonaRateLimitError, []),
        (Fault.UNAUTHORIZED, DaytonaAuthenticationError, []),
        (Fault.DROP, DaytonaConnectionError, []),
        (Fault.DROP_AFTER, DaytonaConnectionError, ["started"]),
        (Fault.WITHOUT_KVM, (ValidationError, DaytonaError), ["started"]),
        (Fault.POLICY_REFUSED, DaytonaBadRequestError, []),
        (Fault.START_FAILS, DaytonaError, ["error"]),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
async def test_create_goes_wrong(
    fake: FakeDaytona, client: AsyncDaytona, fault: Fault, expected: type[Exception], states: list[str]
) -> None:
    fake.fail(fault, match="POST /sandbox")
    with pytest.raises(expected):
        await client.create(asked("one"))
    assert [seen.state for seen in fake.sandboxes()] == states


@pytest.mark.slow
async def test_create_takes_longer_than_its_caller_waits(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.STARTS_LATE, seconds=1.5)
    with pytest.raises(DaytonaTimeoutError) as caught:
        await client.create(asked("one"), timeout=1)
    assert caught.value.sandbox_id == fake.sandboxes()[0].id
    fake.fail(Fault.STARTS_LATE, seconds=0.3)
    assert (await client.create(asked("two"), timeout=20)).state == "started"


async def test_an_older_server_knows_no_end_of_life(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.WITHOUT_TTL)
    assert (await client.create(asked("one"))).auto_destroy_at is None


async def test_too_many_requests_say_when_to_come_back(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.TOO_MANY)
    with pytest.raises(DaytonaRateLimitError) as caught:
        await client.get("one")
    assert caught.value.headers["Retry-After"] == "1"


async def test_a_fault_may_pass_some_and_hit_one_sandbox(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.SERVER_ERROR, match="POST /sandbox", sandbox="*-before", skip=1)
    for name in ("a", "a-before"):
        await client.create(asked(name))
    with pytest.raises(DaytonaInternalServerError):
        await client.create(asked("b-before"))


async def test_a_delete_that_never_ends(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.DELETE_STUCK)
    box = await client.create(asked("one"))
    await client.delete(box)
    assert (await client.get("one")).state == "destroying"
    with pytest.raises(DaytonaError):
        await client.create(asked("one"))
    fake.destroy("one")
    with pytest.raises(DaytonaNotFoundError):
        await client.get("one")


@pytest.mark.parametrize(
    ("fault", "expected", "done"),
    [
        (Fault.BAD_GATEWAY, DaytonaBadGatewayError, False),
        (Fault.BAD_GATEWAY_AFTER, DaytonaBadGatewayError, True),
        (Fault.DROP, DaytonaConnectionError, False),
        (Fault.DROP_AFTER, DaytonaConnectionError, True),
    ],
    ids=lambda value: value.value if isinstance(value, Fault) else "",
)
async def test_a_command_goes_wrong(
    fake: FakeDaytona, client: AsyncDaytona, fault: Fault, expected: type[Exception], *, done: bool
) -> None:
    box = await client.create(asked("one"))
    fake.fail(fault, match="POST /toolbox/one/process/execute")
    with pytest.raises(expected):
        await box.process.exec("touch /tmp/done", timeout=10)
    code, _ = fake.shell("one", "test -e /tmp/done")
    assert (code == 0) is done


async def test_the_toolbox_is_away_for_a_while(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    fake.fail(Fault.BAD_GATEWAY, lasting_seconds=0.3)
    with pytest.raises(DaytonaBadGatewayError):
        await box.process.exec("true", timeout=5)
    assert (await client.get("one")).state == "started"
    async with asyncio.timeout(10):
        while True:
            try:
                await box.process.exec("true", timeout=5)
                break
            except DaytonaBadGatewayError:
                continue


async def test_a_sandbox_stops_in_mid_job(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    running = asyncio.create_task(box.process.exec("touch /tmp/begun; sleep 60", timeout=60))
    await box.process.exec("until test -e /tmp/begun; do sleep 0.01; done", timeout=10)
    fake.stop("one")
    with pytest.raises(DaytonaBadRequestError, match="no IP address found"):
        await running
    assert (await client.get("one")).state == "stopped"


async def test_a_daemon_dies_and_nobody_notices(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    fake.fail(Fault.DAEMON_DIES, match="POST */process/execute")
    with pytest.raises(DaytonaBadGatewayError):
        await box.process.exec("true", timeout=5)
    assert (await client.get("one")).state == "started"


async def test_parts_of_files_are_not_known(fake: FakeDaytona, client: AsyncDaytona) -> None:
    box = await client.create(asked("one"))
    await box.fs.upload_file(b"0123456789", "f")
    fake.fail(Fault.RANGE_IGNORED)
    answer = await downloaded(fake, box, "f", "bytes=5-")
    assert (answer.status_code, answer.text) == (200, "0123456789")


async def test_a_snapshot_is_not_built(fake: FakeDaytona, client: AsyncDaytona) -> None:
    fake.fail(Fault.BUILD_FAILS)
    with pytest.raises(DaytonaError, match="ended with 100"):
        await client.snapshot.create(CreateSnapshotParams(name="broken", image="debian:12"))
    with pytest.raises(DaytonaBadRequestError, match="build_failed"):
        await client.create(asked("one", snapshot="broken"))
