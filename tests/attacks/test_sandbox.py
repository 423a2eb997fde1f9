"""What repository code could try from inside a sandbox, and that it fails."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import pytest

from bot.sandbox import HOME, REPO, Finished, SandboxFailed, SandboxId, Spec
from bot.sandbox.bubblewrap import Bubblewrap
from tests.sandbox.backends import reachable_directory
from tests.sandbox.waiting import ended, printed, until

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def box(sandbox: Bubblewrap) -> SandboxId:
    return await sandbox.create("attacker", Spec())


async def attack(sandbox: Bubblewrap, box: SandboxId, line: str, timeout_seconds: float = 30) -> Finished:
    return await sandbox.run(box, ["bash", "-c", line], timeout_seconds=timeout_seconds)


async def python(sandbox: Bubblewrap, box: SandboxId, program: str, timeout_seconds: float = 30) -> Finished:
    return await sandbox.run(box, ["python3", "-c", program], timeout_seconds=timeout_seconds)


@asynccontextmanager
async def worker(tools: Path, mode: str, *argv: str, **secret: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A real worker process that has a sandbox of its own."""
    with reachable_directory() as directory:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.attacks.worker", str(directory / "sandboxes"), str(tools), mode),
            *argv,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "PYTHONPATH": str(PROJECT), **secret},
            cwd=PROJECT,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def processes_with(word: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def users_of(word: str) -> set[int]:
    return {Path(f"/proc/{pid}").stat().st_uid for pid in processes_with(word)}


async def test_the_workers_secrets_are_nowhere_to_be_read(tools: Path) -> None:
    secret = secrets.token_hex(16)
    look = "env; cat /proc/*/environ /proc/*/cmdline; cat /proc/*/mountinfo; grep -r . /etc /run /tmp 2>/dev/null; true"
    async with worker(tools, "run", "bash", "-c", look, BROKER_KEY=secret) as process:
        output, _ = await process.communicate()
    assert b"HOME=/home/agent" in output
    assert secret.encode() not in output


async def test_no_process_of_the_host_is_visible(sandbox: Bubblewrap, box: SandboxId) -> None:
    shown = await attack(sandbox, box, "cat /proc/[0-9]*/comm")
    assert set(shown.output.split()) <= {b"bwrap", b"python3", b"bash", b"cat"}
    assert len(shown.output.split()) <= 5
    assert (await attack(sandbox, box, f"kill -0 {os.getpid()}")).exit_code != 0


async def test_there_is_no_network_and_no_loopback_of_the_host(sandbox: Bubblewrap, box: SandboxId) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0backspace-test-" + secrets.token_hex(8))
        abstract.listen()
        port = listener.getsockname()[1]
        name = abstract.getsockname()[1:].decode()
        tried = await python(
            sandbox,
            box,
            f"""
import socket
for family, address in [(socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_INET, ("169.254.169.254", 80)),
                        (socket.AF_INET, ("192.0.2.1", 443)), (socket.AF_UNIX, "\\0{name}")]:
    try:
        socket.socket(family).connect(address)
        print("reached", address)
    except OSError as error:
        print("no")
print(sorted(name for _, name in socket.if_nameindex()))
try:
    print("resolved", socket.getaddrinfo("example.com", 80))
except OSError:
    print("no")
""",
        )
    assert tried.output.decode().splitlines() == ["no"] * 4 + ["['lo']", "no"]


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/usr/x",
        "/usr/bin/x",
        "/etc/x",
        "/etc/passwd",
        "/dev/x",
        "/opt/x",
        "/opt/backspace/supervisor.py",
        "/sys/x",
    ],
)
async def test_nothing_but_the_repository_and_home_is_writable(sandbox: Bubblewrap, box: SandboxId, path: str) -> None:
    assert (await attack(sandbox, box, f"echo x >{path}")).exit_code != 0


@pytest.mark.parametrize(
    "line",
    [
        "echo '|/tmp/x' >/proc/sys/kernel/core_pattern",
        "unshare --user true",
        "unshare --mount true",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /",
        "chroot / true",
        "dmesg",
        "cat /etc/shadow",
        "ls /root",
        "ls /sys/kernel",
        "cat /proc/1/root/etc/hostname",
        "ls /home | grep -v agent",
        "setpriv --reuid 0 true",
        "su -c true </dev/null",
        "nsenter -t 1 -m true",
        "python3 -c 'import os; os.mknod(\"/tmp/disk\", 0o60600, os.makedev(254, 0))'",
    ],
)
async def test_no_way_up_or_out(sandbox: Bubblewrap, box: SandboxId, line: str) -> None:
    assert (await attack(sandbox, box, line)).exit_code != 0


async def test_setuid_is_inert_and_no_capability_is_held(sandbox: Bubblewrap, box: SandboxId) -> None:
    shown = await attack(
        sandbox,
        box,
        "cp /usr/bin/id . && chmod 6755 id && ./id -u; grep -E '^(NoNewPrivs|Cap(Eff|Bnd))' /proc/self/status",
    )
    assert shown.output.decode().split() == [*("1000", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1")]


async def test_the_sandbox_is_nobody_on_the_host(sandbox: Bubblewrap, box: SandboxId) -> None:
    word = f"86399.{secrets.randbelow(10**9)}"
    handle = await sandbox.launch(box, ["sh", "-c", f"echo up; exec sleep {word}"], name="p", env={})
    await printed(sandbox, handle, b"up\n")
    if os.geteuid() == 0:
        assert 0 not in users_of(word)
    other = await sandbox.create("other", Spec())
    await sandbox.launch(other, ["sh", "-c", f"echo up; exec sleep {word}"], name="p", env={})
    if os.geteuid() == 0:
        assert len(users_of(word)) == 2


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host with a secret in it."""
    (tmp_path / "secret").write_text("of the host")
    return tmp_path


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


async def test_a_planted_link_does_not_lead_get_out(sandbox: Bubblewrap, box: SandboxId, outside: Path) -> None:
    for target in (outside / "secret", Path("/etc/shadow"), Path("/proc/self/environ").parent / "root" / "etc/shadow"):
        await attack(sandbox, box, f"ln -sfn {target} {REPO}/link")
        with pytest.raises(SandboxFailed):
            await sandbox.get(box, REPO / "link", limit_bytes=10**6)


async def test_a_planted_link_does_not_lead_put_out(
    sandbox: Bubblewrap, box: SandboxId, outside: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tmp_path_factory.mktemp("tree")
    (tree / "new").write_text("new")
    await attack(sandbox, box, f"ln -s {outside}/secret file; ln -s {outside} folder")
    await sandbox.put(box, REPO / "file", b"overwritten")
    for put_in_folder in (sandbox.put(box, REPO / "folder" / "new", b"x"), sandbox.put(box, REPO / "folder", tree)):
        with pytest.raises(SandboxFailed):
            await put_in_folder
    assert contents(outside) == {"secret": "of the host"}


async def test_planted_links_do_not_lead_copy_and_delete_out(
    sandbox: Bubblewrap, box: SandboxId, outside: Path
) -> None:
    await attack(sandbox, box, f"ln -s {outside} {REPO}/folder; ln -s {outside}/secret $HOME/file")
    copy = await sandbox.copy(box, "copied", Spec())
    assert (await attack(sandbox, copy, f"readlink folder; cat {HOME}/file")).output.decode().startswith(f"{outside}\n")
    await sandbox.delete(copy)
    await sandbox.delete(box)
    assert (outside / "secret").read_text() == "of the host"


async def test_a_fifo_or_an_endless_file_does_not_hold_get_up(sandbox: Bubblewrap, box: SandboxId) -> None:
    await attack(sandbox, box, "mkfifo fifo; ln -s /dev/zero endless; truncate -s 1G sparse")
    for name in ("fifo", "endless", "sparse"):
        with pytest.raises(SandboxFailed):
            await sandbox.get(box, REPO / name, limit_bytes=1000)


async def test_a_fork_bomb_is_bounded_and_dies(sandbox: Bubblewrap) -> None:
    bomber = await sandbox.create("bomber", Spec(processes=40))
    counting = await python(
        sandbox,
        bomber,
        """
import os, time
count = 0
try:
    while count < 1000:
        if os.fork() == 0:
            time.sleep(60)
        count += 1
except OSError:
    pass
print(count)
""",
    )
    assert 0 < int(counting.output) <= 40
    # It bursts on its limit by itself, or is ended with the command; either way it harms nobody else.
    await attack(sandbox, bomber, "b() { b | b & }; b; sleep 60", timeout_seconds=1)
    assert (await attack(sandbox, bomber, "echo well")).output == b"well\n"


@pytest.mark.parametrize(
    "hog",
    [
        "x = bytearray(2 * 10**9)",
        "import mmap\nx = mmap.mmap(-1, 2 * 10**9)\nwhile x.write(b'x' * 10**6) and x.tell() < 19 * 10**8: pass",
        "f = open('/dev/shm/x', 'wb')\nwhile f.write(b'x' * 10**6): pass",
        "f = open('/tmp/x', 'wb')\nwhile f.write(b'x' * 10**6): pass",
    ],
    ids=["private", "shared", "dev-shm", "tmp"],
)
@pytest.mark.slow
async def test_a_memory_hog_is_stopped(sandbox: Bubblewrap, hog: str) -> None:
    spec = Spec(memory_bytes=300 * 10**6, tmp_bytes=100 * 10**6)
    hoarder = await sandbox.create("hoarder", spec)
    finished = await python(sandbox, hoarder, f"{hog}\nprint('all of it')", timeout_seconds=60)
    assert b"all of it" not in finished.output
    assert not finished.timed_out
    assert (await attack(sandbox, hoarder, "echo well")).output == b"well\n"


MANY_FILES = """
for n in range(10**6):
    open(f"f{n}", "wb").write(b"x" * 10**6)
"""
UNLINKED_FILES = """
import os, time
kept = []
for n in range(200):
    kept.append(open("f", "wb", 0))
    kept[-1].write(b"x" * 10**6)
    os.unlink("f")
time.sleep(60)
"""
HIDDEN_FOLDER = """
import os, time
os.mkdir("d")
os.chdir("d")
for n in range(200):
    open(f"f{n}", "wb").write(b"x" * 10**6)
os.chmod(".", 0)
time.sleep(60)
"""


@pytest.mark.parametrize("fill", [MANY_FILES, UNLINKED_FILES, HIDDEN_FOLDER], ids=["many", "unlinked", "hidden"])
async def test_a_disk_filler_is_stopped_and_named(sandbox: Bubblewrap, fill: str) -> None:
    filler = await sandbox.create("filler", Spec(disk_bytes=50 * 10**6))
    finished = await python(sandbox, filler, fill, timeout_seconds=60)
    assert (finished.exit_code, finished.reason) == (-9, "disk")


async def test_a_launched_program_that_fills_the_disk_with_output_is_stopped(sandbox: Bubblewrap) -> None:
    filler = await sandbox.create("filler", Spec(disk_bytes=50 * 10**6))
    handle = await sandbox.launch(
        filler, ["sh", "-c", "while :; do cat /dev/zero | head -c 1000000; done"], name="p", env={}
    )
    exited = await ended(sandbox, handle)
    assert exited.reason == "disk"


async def test_one_file_has_a_limit(sandbox: Bubblewrap) -> None:
    filler = await sandbox.create("filler", Spec(disk_bytes=50 * 10**6))
    finished = await attack(sandbox, filler, "truncate -s 60M big")
    assert finished.exit_code != 0


STUBBORN = """
trap '' TERM HUP INT
(setsid sh -c 'trap "" TERM HUP; sleep $0 & sleep $0; sleep $0' {word} &)
echo up
sleep {word}; sleep {word}
"""


async def test_nothing_survives_a_worker_that_is_killed(tools: Path) -> None:
    word = f"86399.{secrets.randbelow(10**9)}"
    async with worker(tools, "launch", "sh", "-c", STUBBORN.format(word=word)) as process:
        assert process.stdout
        assert await process.stdout.readline() == b"up\n"
        assert len(processes_with(word)) >= 5
        process.send_signal(signal.SIGKILL)
        await process.wait()

        async def none_left() -> bool:
            return not processes_with(word)

        await until(none_left)


async def test_nothing_survives_a_worker_that_dies_while_it_launches(tools: Path) -> None:
    word = f"86399.{secrets.randbelow(10**9)}"
    async with worker(tools, "die", "sh", "-c", STUBBORN.format(word=word)) as process:
        await process.wait()

        async def none_left() -> bool:
            return not processes_with(word)

        await until(none_left)


async def test_a_program_cannot_outlive_its_sandbox(sandbox: Bubblewrap, box: SandboxId) -> None:
    word = f"86399.{secrets.randbelow(10**9)}"
    handle = await sandbox.launch(box, ["sh", "-c", STUBBORN.format(word=word)], name="p", env={})
    await printed(sandbox, handle, b"up\n")
    await sandbox.delete(box)
    assert processes_with(word) == []


@pytest.mark.parametrize("key", ["", ".", "..", "../x", "a/b", "a\0b", "-rf", "x" * 200])
async def test_a_key_is_never_a_path(sandbox: Bubblewrap, key: str) -> None:
    with pytest.raises(SandboxFailed):
        await sandbox.create(key, Spec())
    with pytest.raises(SandboxFailed):
        await sandbox.delete(SandboxId(key))


async def test_environment_values_are_not_in_a_command_line(sandbox: Bubblewrap, box: SandboxId) -> None:
    token = secrets.token_hex(16)
    handle = await sandbox.launch(box, ["sh", "-c", "echo $RUN_TOKEN; sleep 60"], name="p", env={"RUN_TOKEN": token})
    await printed(sandbox, handle, token.encode())
    assert processes_with(token) == []


async def test_put_over_the_supervisor_fails(sandbox: Bubblewrap, box: SandboxId) -> None:
    with pytest.raises(SandboxFailed):
        await sandbox.put(box, PurePosixPath("/opt/backspace/supervisor.py"), b"")
