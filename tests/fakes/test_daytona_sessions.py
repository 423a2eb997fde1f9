"""Sessions of the Daytona emulator: the habits that were measured of the real daemon."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from daytona import AsyncDaytona, AsyncSandbox, SessionExecuteRequest
from daytona.common.errors import DaytonaConflictError, DaytonaError, DaytonaNotFoundError

from tests.fakes.daytona import FakeDaytona, fake_daytona
from tests.fakes.daytona.client import asked, connected


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeDaytona]:
    with fake_daytona() as made:
        yield made
        made.assert_clean()


@pytest.fixture
async def client(fake: FakeDaytona) -> AsyncIterator[AsyncDaytona]:
    async with connected(fake) as made:
        yield made


@pytest.fixture
async def box(fake: FakeDaytona, client: AsyncDaytona) -> AsyncIterator[AsyncSandbox]:
    made = await client.create(asked("one"))
    await made.process.create_session("s")
    yield made
    fake.destroy("one")


async def begun(box: AsyncSandbox, command: str) -> str:
    answer = await box.process.execute_session_command("s", SessionExecuteRequest(command=command, run_async=True))
    assert answer.exit_code is None
    return answer.cmd_id


async def followed(box: AsyncSandbox, command: str) -> tuple[str, str]:
    out: list[str] = []
    errors: list[str] = []
    async with asyncio.timeout(20):
        await box.process.get_session_command_logs_async("s", command, out.append, errors.append)
    return "".join(out), "".join(errors)


async def test_a_session_keeps_its_folder_and_labels_its_output(box: AsyncSandbox) -> None:
    await box.process.execute_session_command("s", SessionExecuteRequest(command="cd /tmp"))
    answer = await box.process.execute_session_command("s", SessionExecuteRequest(command="pwd; echo err >&2; false"))
    assert (answer.exit_code, answer.stdout, answer.stderr) == (1, "/tmp\n", "err\n")
    found = await box.process.get_session_command("s", answer.cmd_id)
    assert (found.exit_code, found.command) == (1, "pwd; echo err >&2; false")
    with pytest.raises(DaytonaConflictError):
        await box.process.create_session("s")
    assert [len(session.commands) for session in await box.process.list_sessions()] == [2]


@pytest.mark.slow
async def test_a_log_is_followed_and_told_again_from_its_beginning(box: AsyncSandbox) -> None:
    command = await begun(box, "printf 'a\\0b\\n'; sleep 0.2; echo err >&2; seq 2000; printf end")
    numbers = "".join(f"{number}\n" for number in range(1, 2001))
    expected = (f"ab\n{numbers}end\n", "err\n")
    assert await followed(box, command) == expected
    assert await followed(box, command) == expected
    with pytest.raises(DaytonaError):
        await followed(box, "never")


async def test_what_reads_its_input_never_ends_and_what_exits_takes_the_shell_along(box: AsyncSandbox) -> None:
    command = await begun(box, "cat")
    await box.process.exec("until pgrep -x cat; do sleep 0.01; done", timeout=10)
    assert (await box.process.get_session_command("s", command)).exit_code is None
    await box.process.create_session("t")
    await box.process.execute_session_command("t", SessionExecuteRequest(command="exit 4"))
    with pytest.raises(DaytonaError, match="broken pipe"):
        await box.process.execute_session_command("t", SessionExecuteRequest(command="true"))


async def test_a_deleted_session_takes_its_children_along(box: AsyncSandbox) -> None:
    await begun(box, "setsid sleep 81 & sleep 82")
    await box.process.exec("until [ $(pgrep -cx sleep) = 3 ]; do sleep 0.01; done", timeout=10)
    await box.process.delete_session("s")
    assert (await box.process.exec("pgrep -cx sleep", timeout=10)).result == "0\n"
    with pytest.raises(DaytonaNotFoundError):
        await box.process.get_session("s")


async def test_a_stopped_sandbox_has_forgotten_its_sessions(box: AsyncSandbox) -> None:
    await box.stop()
    await box.start()
    assert await box.process.list_sessions() == []
