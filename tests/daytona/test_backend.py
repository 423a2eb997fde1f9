"""The Protocol's promises on Daytona where calls fail, answers are lost, and this process is another one."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.daytona.backend import Daytona
from bot.daytona.cloud import connect
from bot.errors import StageFailed
from bot.sandbox import HOME, REPO, Exited, Handle, Running, SandboxFailed, SandboxId, SandboxLost, Spec
from tests.fakes.daytona import FakeDaytona, Fault, fake_daytona
from tests.sandbox.backends import backspace_address
from tests.sandbox.waiting import ended, printed, until

pytestmark = pytest.mark.slow

RUN = "5c1f6a52-3b6e-4a53-8a5a-0d3f4f4a9d10"
PUBLIC, PRIVATE = Spec(), Spec(private=True)
EXECUTE = "POST /toolbox/*/process/execute"
UPLOAD = "POST /toolbox/*/files/bulk-upload"
JOB = "/workspace/.backspace/jobs/agent"
TICKER = "trap '' TERM HUP; while :; do date +%s%N >>ticks; done"


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[FakeDaytona, str]]:
    """The cloud, and where Backspace is on its internet."""
    with fake_daytona() as fake, backspace_address() as port:
        fake.allow_host("127.0.0.1", port)
        yield fake, f"http://127.0.0.1:{port}"
        fake.assert_clean()


@pytest.fixture
def fake(service: tuple[FakeDaytona, str]) -> Iterator[FakeDaytona]:
    daytona, _ = service
    yield daytona
    daytona.faults.clear()
    daytona.destroy_all()
    daytona.requests.clear()


@dataclass
class Clock:
    """Runs like the real one, and jumps."""

    ahead_seconds: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


Backspace = Callable[..., AbstractAsyncContextManager[Daytona]]


@pytest.fixture
def backspace(service: tuple[FakeDaytona, str], fake: FakeDaytona, clock: Clock) -> Backspace:
    """Each a process of its own, of one deployment."""
    deployment = secrets.token_hex(5)

    @asynccontextmanager
    async def new(
        *, accept_open_network: bool = False, broker_url: str = service[1], wait_seconds: float = 15.0
    ) -> AsyncIterator[Daytona]:
        async with connect(
            api_key=fake.api_key,
            api_url=fake.api_url,
            target=None,
            deployment=deployment,
            new_id=secrets.token_hex,
        ) as cloud:
            yield Daytona(
                cloud,
                snapshot="default",
                broker_url=broker_url,
                ttl_minutes=90,
                accept_open_network=accept_open_network,
                clock=clock,
                new_id=lambda: secrets.token_hex(8),
                wait_seconds=wait_seconds,
            )

    return new


@pytest.fixture
async def backend(backspace: Backspace) -> AsyncIterator[Daytona]:
    async with backspace() as backend:
        yield backend


@pytest.fixture
async def box(backend: Daytona) -> SandboxId:
    return await backend.create(RUN, PUBLIC)


async def shell(backend: Daytona, box: SandboxId, line: str) -> str:
    done = await backend.run(box, ["sh", "-c", line], timeout_seconds=30)
    assert done.exit_code == 0, done
    return done.output.decode()


def calls(fake: FakeDaytona) -> int:
    return len(fake.requests)


# Making one


async def test_daytona_is_told_whose_it_is_how_long_it_may_live_and_what_it_may_reach(
    backend: Daytona, fake: FakeDaytona
) -> None:
    await backend.create(f"{RUN}-after", Spec(hosts=("*.crates.example",)))
    [seen] = fake.sandboxes()
    assert (seen.labels["run"], seen.labels["key"]) == (RUN, f"{RUN}-after")
    assert seen.policy.domains == ("127.0.0.1", "*.crates.example")
    assert (seen.ttl_minutes, seen.auto_stop, seen.auto_delete) == (90, 30, 60)


async def test_a_private_repository_may_go_where_the_network_is_closed(backend: Daytona) -> None:
    assert await backend.create(RUN, PRIVATE) == RUN


async def test_a_tier_without_policies_is_good_enough_for_public_repositories(
    backend: Daytona, fake: FakeDaytona
) -> None:
    fake.fail(Fault.POLICY_REFUSED)
    await backend.create(RUN, PUBLIC)
    [seen] = fake.sandboxes()
    assert seen.policy.open


async def test_a_private_repository_is_kept_out_of_an_open_network(backend: Daytona, fake: FakeDaytona) -> None:
    fake.fail(Fault.POLICY_REFUSED)
    with pytest.raises(StageFailed) as refused:
        await backend.create(RUN, PRIVATE)
    assert refused.value.code == "sandbox-network-open"
    assert await backend.list_owned() == []


async def test_an_open_network_can_be_accepted(backspace: Backspace, fake: FakeDaytona) -> None:
    fake.fail(Fault.POLICY_REFUSED)
    async with backspace(accept_open_network=True) as backend:
        assert await backend.create(RUN, PRIVATE) == RUN


async def test_a_backspace_that_sandboxes_cannot_reach_is_said_at_once(backspace: Backspace) -> None:
    async with backspace(broker_url="http://127.0.0.1:9") as backend:
        with pytest.raises(StageFailed) as refused:
            await backend.create(RUN, PUBLIC)
        assert refused.value.code == "broker-unreachable"
        assert await backend.list_owned() == []


async def test_only_a_runs_first_sandbox_tries_its_network(backend: Daytona, box: SandboxId, fake: FakeDaytona) -> None:
    tried = len(fake.internet)
    await backend.create(f"{RUN}-before", PUBLIC)
    await backend.copy(box, f"{RUN}-pristine", PUBLIC)
    assert len(fake.internet) == tried


async def test_a_create_that_is_cancelled_leaves_nothing(backend: Daytona, fake: FakeDaytona) -> None:
    plan = fake.fail(Fault.SLOW, match=EXECUTE, seconds=20)
    making = asyncio.create_task(backend.create(RUN, PUBLIC))

    async def is_trying() -> bool:
        return plan.remaining == 0

    await until(is_trying)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert await backend.list_owned() == []


@pytest.mark.parametrize(
    "fault", [Fault.SERVER_ERROR_AFTER, Fault.WITHOUT_KVM, Fault.DROP_AFTER], ids=["500", "unreadable", "dropped"]
)
async def test_a_create_whose_answer_is_lost_leaves_one_or_none(
    backend: Daytona, fake: FakeDaytona, fault: Fault
) -> None:
    fake.fail(fault, match="POST /sandbox")
    try:
        made = [await backend.create(RUN, PUBLIC)]
    except SandboxFailed:
        made = []
    assert await backend.list_owned() == made


# Lost answers and unanswered calls


@pytest.mark.parametrize("fault", [Fault.BAD_GATEWAY_AFTER, Fault.DROP_AFTER, Fault.BAD_GATEWAY, Fault.DROP])
async def test_a_command_runs_once_whatever_becomes_of_the_call(
    backend: Daytona, box: SandboxId, fake: FakeDaytona, fault: Fault
) -> None:
    fake.fail(fault, match=EXECUTE)
    done = await backend.run(box, ["sh", "-c", "echo ran >>ran; echo said; exit 3"], timeout_seconds=30)
    assert (done.exit_code, done.output) == (3, b"said\n")
    assert await shell(backend, box, "cat ran") == "ran\n"


@pytest.mark.parametrize("fault", [Fault.BAD_GATEWAY_AFTER, Fault.DROP_AFTER, Fault.BAD_GATEWAY, Fault.DROP])
async def test_a_program_is_launched_once_whatever_becomes_of_the_call(
    backend: Daytona, box: SandboxId, fake: FakeDaytona, fault: Fault
) -> None:
    fake.fail(fault, match=EXECUTE)
    handle = await backend.launch(box, ["sh", "-c", "echo up; cat"], name="agent", env={})
    fake.fail(fault, match=UPLOAD)
    await backend.write(handle, b"one\n")
    fake.fail(fault, match=UPLOAD)
    await backend.close_stdin(handle)
    assert (await ended(backend, handle)).code == 0
    assert await backend.read(handle, 0) == b"up\none\n"


async def test_a_toolbox_that_is_away_for_a_while_is_waited_for(
    backend: Daytona, box: SandboxId, fake: FakeDaytona
) -> None:
    handle = await backend.launch(box, ["sh", "-c", "echo one; sleep 0.5; echo two"], name="agent", env={})
    fake.fail(Fault.BAD_GATEWAY, lasting_seconds=1)
    await ended(backend, handle)
    assert await backend.read(handle, 0) == b"one\ntwo\n"


async def test_where_ranges_are_not_heeded_output_is_read_all_the_same(
    backend: Daytona, box: SandboxId, fake: FakeDaytona
) -> None:
    fake.fail(Fault.RANGE_IGNORED, times=-1)
    handle = await backend.launch(box, ["sh", "-c", "printf 'one\\n\\0\\377'; exit 4"], name="agent", env={})
    assert (await ended(backend, handle)).code == 4
    assert await backend.read(handle, 4) == b"\0\xff"
    assert await backend.read(handle, 6) == b""


async def test_a_sandbox_that_stops_in_the_middle_is_lost(backend: Daytona, box: SandboxId, fake: FakeDaytona) -> None:
    handle = await backend.launch(box, ["sleep", "60"], name="agent", env={})
    [seen] = fake.sandboxes()
    fake.stop(seen.name)
    with pytest.raises(SandboxLost):
        await ended(backend, handle)
    with pytest.raises(SandboxLost):
        await backend.run(box, ["true"], timeout_seconds=10)
    assert await backend.attach(RUN) is None
    assert await backend.list_owned() == [box]


# Programs


async def test_a_cancelled_command_is_dead(backend: Daytona, box: SandboxId) -> None:
    running = asyncio.create_task(
        backend.run(box, ["sh", "-c", f'setsid sh -c "{TICKER}" & sleep 60'], timeout_seconds=60)
    )

    async def ticks() -> bool:
        return await shell(backend, box, "test -s ticks && echo yes || true") == "yes\n"

    await until(ticks)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    before = await shell(backend, box, "wc -l <ticks")
    assert await shell(backend, box, "sleep 0.1; wc -l <ticks") == before


async def test_what_takes_longer_than_a_call_may_is_waited_for(backspace: Backspace) -> None:
    async with backspace(wait_seconds=0.1) as backend:
        box = await backend.create(RUN, PUBLIC)
        done = await backend.run(box, ["sh", "-c", "sleep 1; echo late; exit 5"], timeout_seconds=30)
    assert (done.exit_code, done.output) == (5, b"late\n")


async def test_watching_an_idle_program_costs_few_calls(backend: Daytona, box: SandboxId, fake: FakeDaytona) -> None:
    handle = await backend.launch(box, ["sleep", "60"], name="agent", env={})
    before = calls(fake)
    for _ in range(500):
        assert await backend.status(handle) == Running()
        assert await backend.read(handle, 0) == b""
    assert calls(fake) - before < 50


async def test_after_its_end_all_that_it_printed_is_read(backend: Daytona, box: SandboxId) -> None:
    handle = await backend.launch(box, ["sh", "-c", "sleep 0.3; seq 50000"], name="agent", env={})
    content = bytearray()
    async with asyncio.timeout(30):
        while True:
            status = await backend.status(handle)
            part = await backend.read(handle, len(content), limit_bytes=10_000)
            content += part
            if isinstance(status, Exited) and not part:
                break
    assert content == b"".join(b"%d\n" % number for number in range(1, 50_001))


async def test_a_program_whose_supervisor_was_killed_counts_as_killed(
    backend: Daytona, box: SandboxId, clock: Clock
) -> None:
    handle = await backend.launch(box, ["sleep", "60"], name="agent", env={})
    await shell(backend, box, f"kill -9 $(cut -d' ' -f1 {JOB}/pid)")
    clock.ahead_seconds += 60
    assert (await ended(backend, handle)).code == -9


@pytest.mark.parametrize(
    "forged", ["nonsense", '{"code": "none"}', '{"code": 0, "reason": "because"}'], ids=["text", "shape", "reason"]
)
async def test_an_end_that_an_agent_forged_badly_is_a_failure(backend: Daytona, box: SandboxId, forged: str) -> None:
    handle = await backend.launch(box, ["sleep", "60"], name="agent", env={})
    await backend.put(box, REPO / "forged", forged.encode())
    await shell(backend, box, f"mv forged {JOB}/exit")
    with pytest.raises(SandboxFailed):
        await ended(backend, handle)


@pytest.mark.parametrize("name", ["", "../run", "a b", ".", "x" * 101], ids=["empty", "path", "space", "dot", "long"])
async def test_a_name_that_is_no_name_is_refused(backend: Daytona, box: SandboxId, name: str) -> None:
    with pytest.raises(SandboxFailed, match="no name"):
        await backend.launch(box, ["true"], name=name, env={})


# Another process of ours


async def test_after_a_restart_a_program_is_read_on_and_written_to(backspace: Backspace) -> None:
    async with backspace() as first:
        box = await first.create(RUN, PUBLIC)
        handle = await first.launch(box, ["sh", "-c", 'while read x; do echo "got $x"; done'], name="agent", env={})
        await first.write(handle, b"one\n")
        await printed(first, handle, b"got one\n")
    async with backspace() as second:
        assert await second.attach(RUN) == box
        again = Handle(SandboxId(RUN), "agent")
        assert await second.read(again, len(b"got one\n")) == b""
        await second.write(again, b"two\n")
        await second.close_stdin(again)
        assert (await ended(second, again)).code == 0
        assert await second.read(again, len(b"got one\n")) == b"got two\n"


async def test_after_a_restart_an_end_that_came_meanwhile_is_known(backspace: Backspace) -> None:
    async with backspace() as first:
        box = await first.create(RUN, PUBLIC)
        await first.launch(box, ["sh", "-c", "echo done; echo bad >&2; exit 6"], name="agent", env={})
    async with backspace() as second:
        handle = Handle(box, "agent")
        assert await ended(second, handle) == Exited(6, b"bad\n")
        assert await second.read(handle, 0) == b"done\n"
        await second.write(handle, b"late\n")
        await second.close_stdin(handle)
        with pytest.raises(SandboxFailed):
            await second.launch(box, ["true"], name="agent", env={})


# Files


async def test_large_files_go_both_ways(backend: Daytona, box: SandboxId, tmp_path: Path) -> None:
    data = secrets.token_bytes(17 * 1024**2)
    (tmp_path / "large").write_bytes(data)
    await backend.put(box, HOME / "large", tmp_path / "large")
    assert await backend.get(box, HOME / "large", limit_bytes=len(data)) == data
    with pytest.raises(SandboxFailed, match="bytes"):
        await backend.get(box, HOME / "large", limit_bytes=len(data) - 1)


async def test_output_of_any_size_comes_whole(backend: Daytona, box: SandboxId) -> None:
    done = await backend.run(box, ["head", "-c", "1000000", "/dev/zero"], timeout_seconds=30)
    assert done.output == bytes(1_000_000)


async def test_put_replaces_a_link_and_not_what_it_leads_to(backend: Daytona, box: SandboxId) -> None:
    await shell(backend, box, "echo kept >target; ln -s target link")
    await backend.put(box, REPO / "link", b"new")
    assert await shell(backend, box, "cat target link; test -L link || echo file") == "kept\nnewfile\n"
