"""What is particular to bubblewrap: accounts, the directories, a restart, the sockets inside."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from bot.sandbox import HOME, REPO, SandboxFailed, SandboxId, SandboxLost, Spec, bwrap_options, cgroups, limits, uids
from bot.sandbox.bubblewrap import Bubblewrap
from bot.sandbox.bwrap_options import CLAUDE, MODEL_PORT
from bot.sandbox.installation import SandboxUnavailable
from bot.sandbox.limits import Account
from tests.sandbox.backends import bubblewrap, reachable_directory
from tests.sandbox.waiting import printed

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give accounts")


@pytest.fixture
async def sandbox(tools: Path) -> AsyncIterator[Bubblewrap]:
    async with bubblewrap(tools) as backend:
        yield backend


async def test_the_claude_code_program_runs_inside(sandbox: Bubblewrap) -> None:
    box = await sandbox.create("one", Spec())
    shown = await sandbox.run(
        box, [str(CLAUDE), "--version"], timeout_seconds=60, env={"CLAUDE_CONFIG_DIR": str(HOME / ".claude")}
    )
    assert b"Claude Code" in shown.output


async def test_a_restarted_worker_finds_the_directory_and_nothing_living(tools: Path) -> None:
    with reachable_directory() as directory:
        root = directory / "sandboxes"
        async with Bubblewrap(root=root, tools=tools) as first:
            box = await first.create("one", Spec())
            await first.run(box, ["sh", "-c", "mkdir -p d/e; chmod 0 d"], timeout_seconds=30)
            handle = await first.launch(box, ["sleep", "60"], name="p", env={})
        async with Bubblewrap(root=root, tools=tools) as second:
            assert await second.attach("one") is None
            assert await second.list_owned() == [box]
            with pytest.raises(SandboxLost):
                await second.status(handle)
            again = await second.create("one", Spec())
            assert (await second.run(again, ["ls", "-A"], timeout_seconds=30)).output == b""
            await second.delete(again)
            assert list(root.iterdir()) == []


async def test_a_half_made_directory_can_be_deleted(sandbox: Bubblewrap, tools: Path) -> None:
    with reachable_directory() as directory:
        (directory / "sandboxes" / "half" / "jobs").mkdir(parents=True)
        async with Bubblewrap(root=directory / "sandboxes", tools=tools) as backend:
            await backend.delete(SandboxId("half"))
            assert await backend.list_owned() == []


async def test_the_end_of_the_backend_ends_its_programs(tools: Path) -> None:
    with reachable_directory() as directory:
        backend = Bubblewrap(root=directory / "sandboxes", tools=tools)
        box = await backend.create("one", Spec())
        running = asyncio.create_task(backend.run(box, ["sleep", "60"], timeout_seconds=60))
        handle = await backend.launch(box, ["sh", "-c", "echo up; sleep 60"], name="p", env={})
        await printed(backend, handle, b"up\n")
        await backend.aclose()
        with pytest.raises(SandboxLost):
            await running
        with pytest.raises(SandboxLost):
            await backend.status(handle)


async def test_a_cancelled_run_leaves_nothing_running(sandbox: Bubblewrap) -> None:
    box = await sandbox.create("one", Spec())
    ticking = "while :; do date +%s%N >>ticks; sleep 0.01; done"
    running = asyncio.create_task(sandbox.run(box, ["sh", "-c", ticking], timeout_seconds=60))
    while b"ticks" not in (await sandbox.run(box, ["ls"], timeout_seconds=30)).output:
        pass
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    before = await sandbox.get(box, REPO / "ticks", limit_bytes=10**6)
    await sandbox.run(box, ["sleep", "0.1"], timeout_seconds=30)
    assert await sandbox.get(box, REPO / "ticks", limit_bytes=10**6) == before


async def test_a_working_folder_that_is_missing_says_so(sandbox: Bubblewrap) -> None:
    box = await sandbox.create("one", Spec())
    with pytest.raises(SandboxFailed, match="/workspace/none"):
        await sandbox.run(box, ["true"], timeout_seconds=30, cwd=PurePosixPath("/workspace/none"))


async def test_only_so_many_programs_start_at_once(tools: Path) -> None:
    with reachable_directory() as directory:
        async with Bubblewrap(root=directory / "sandboxes", tools=tools, starts=1) as backend:
            box = await backend.create("one", Spec())
            first = await backend.launch(box, ["sh", "-c", "read x; echo up; sleep 60"], name="first", env={})
            second = asyncio.create_task(backend.launch(box, ["true"], name="second", env={}))
            await backend.run(box, ["true"], timeout_seconds=30)
            assert not second.done()
            await backend.write(first, b"go\n")
            await second
            await backend.delete(box)


@pytest.fixture
async def model(tmp_path: Path) -> AsyncIterator[Path]:
    """A Unix socket in a folder that only its maker may enter."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello from the broker\n")
        writer.close()
        await writer.wait_closed()

    with reachable_directory() as directory:
        private = directory / "broker"
        private.mkdir(mode=0o700)
        async with await asyncio.start_unix_server(greet, private / "run.sock"):
            yield private / "run.sock"


@pytest.mark.parametrize(
    "address",
    ["socket.AF_UNIX, '/run/model.sock'", f"socket.AF_INET, ('127.0.0.1', {MODEL_PORT})"],
    ids=["socket", "port"],
)
async def test_the_broker_is_reached_by_its_socket_and_by_a_port(
    sandbox: Bubblewrap, model: Path, address: str
) -> None:
    spec = Spec(broker_socket=model)
    box = await sandbox.create("one", spec)
    program = (
        f"import socket\nfamily, at = {address}\ns = socket.socket(family)\ns.connect(at)\nprint(s.recv(99).decode())"
    )
    for asked in (box, await sandbox.copy(box, "two", spec)):
        finished = await sandbox.run(asked, ["python3", "-c", program], timeout_seconds=30)
        assert finished.output.strip() == b"hello from the broker"


@as_root
async def test_another_sandboxs_account_cannot_enter(sandbox: Bubblewrap, model: Path, tools: Path) -> None:
    with reachable_directory() as directory:
        async with Bubblewrap(root=directory / "sandboxes", tools=tools) as backend:
            await backend.create("one", Spec(broker_socket=model))
            stranger = uids.lease(frozenset())
            for path in ("", "workspace", "jobs", "sockets/model.sock"):
                blocked = uids.unreachable(directory / "sandboxes" / "one" / path / "x", stranger.account)
                assert blocked == directory / "sandboxes" / "one"
            stranger.release()


@as_root
async def test_a_folder_that_accounts_cannot_pass_is_named_with_the_way_out(tools: Path) -> None:
    with reachable_directory() as directory:
        (directory / "closed").mkdir(mode=0o700)
        backend = Bubblewrap(root=directory / "closed" / "sandboxes", tools=directory / "closed" / "tools")
        with pytest.raises(SandboxUnavailable, match="BACKSPACE_HOME") as refused:
            await backend.create("one", Spec())
        assert refused.value.code == "unreachable"
        assert str(directory / "closed") in refused.value.problem


@as_root
def test_an_account_is_leased_once_at_a_time() -> None:
    first, second = uids.lease(frozenset()), uids.lease(frozenset())
    assert first.account != second.account
    assert uids.hold(first.account) is None
    first.release()
    held = uids.hold(first.account)
    assert held
    held.release()
    second.release()


@as_root
async def test_an_account_whose_dead_are_not_yet_collected_is_left_alone(sandbox: Bubblewrap) -> None:
    free = uids.lease(frozenset())
    free.release()
    program = (
        "import os, sys\n"
        "for _ in range(50):\n"
        f"    if os.fork() == 0: os.setuid({free.account.uid}); os._exit(0)\n"
        "print('dead', flush=True)\nsys.stdin.read()"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={}
    )
    assert parent.stdout
    assert parent.stdin
    try:
        assert await parent.stdout.readline() == b"dead\n"
        box = await sandbox.create("one", Spec(processes=40))
        assert (await sandbox.run(box, ["echo", "well"], timeout_seconds=30)).output == b"well\n"
    finally:
        parent.stdin.close()
        await parent.wait()


@pytest.mark.parametrize(
    ("uid_map", "first"),
    [
        ("0 0 4294967295\n", 1_900_000_000),
        ("0 100000 65536\n", 55_526),
        ("0 1000 1\n1 100000 65536\n", 55_527),
    ],
    ids=["a machine", "a container", "a rootless container"],
)
def test_accounts_are_chosen_among_those_that_exist(uid_map: str, first: int) -> None:
    assert uids.first_uid(uid_map) == first


def test_a_container_with_few_ids_is_refused_in_words() -> None:
    with pytest.raises(SandboxFailed, match="user ids"):
        uids.first_uid("0 1000 1\n")


V1 = "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n"
V2 = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"


@pytest.mark.parametrize(
    ("own", "mounts", "found"),
    [
        (
            "8:pids:/\n4:memory:/mine\n0::/\n",
            V1,
            cgroups.Hierarchies(1, Path("/sys/fs/cgroup/memory/mine"), Path("/sys/fs/cgroup/pids")),
        ),
        ("0::/user.slice/x\n", V2, cgroups.Hierarchies(2, *[Path("/sys/fs/cgroup/user.slice/x")] * 2)),
        ("0::/\n", "proc /proc proc rw 0 0\n", None),
    ],
    ids=["version 1", "version 2", "none"],
)
def test_control_groups_are_found(own: str, mounts: str, found: cgroups.Hierarchies | None) -> None:
    assert cgroups.own_hierarchies(own, mounts) == found


def test_a_shared_account_is_counted_inside_only() -> None:
    own, shared = Account(200, 200, own=True), Account(1000, 1000, own=False)
    assert "--nproc=512" in limits.outside(own, Spec())
    assert limits.inside(own, Spec()) == []
    assert "--nproc=512" not in limits.outside(shared, Spec())
    assert "--nproc=512" in limits.inside(shared, Spec())
    assert "setpriv" not in limits.outside(shared, Spec())


def test_no_directory_of_the_host_is_writable_but_the_sandboxs_own() -> None:
    ground = bwrap_options.Ground(Path("/s/workspace"), Path("/s/home"), Path("/t"), claude=Path("/t/claude"))
    options = bwrap_options.program_options(
        replace(ground, broker_socket=Path("/s/model.sock")), bwrap_options.System(), cwd=REPO, environment={"A": "b"}
    )
    binds = [options[at + 1] for at, word in enumerate(options) if word in ("--bind", "--bind-try", "--dev-bind")]
    assert binds == ["/s/home", "/s/workspace", "/s/model.sock"]
    assert {"--unshare-net", "--unshare-pid", "--disable-userns", "--die-with-parent", "--clearenv"} <= {*options}
    sized = [options[at - 2] for at, word in enumerate(options) if word == "--tmpfs"]
    assert sized == ["--size"] * 3
