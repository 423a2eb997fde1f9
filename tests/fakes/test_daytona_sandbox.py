"""What happens inside the Daytona emulator's sandboxes: commands, files, network, and their end."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from daytona import AsyncDaytona, AsyncSandbox, FileUpload
from daytona.common.errors import (
    DaytonaBadRequestError,
    DaytonaError,
    DaytonaNotFoundError,
    DaytonaProcessExecutionTimeoutError,
)

from tests.deployment import PROJECT, processes_of, until
from tests.fakes.daytona import Contact, FakeDaytona, fake_daytona
from tests.fakes.daytona.client import asked, connected, downloaded
from tests.fakes.daytona.toolbox import NoOverlap, wanted


@contextmanager
def greeter() -> Iterator[int]:
    """A server of this machine that says hello; its port."""

    class Hello(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's word
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with greeter() as found:
        yield found


@pytest.fixture(scope="module")
def fake(port: int) -> Iterator[FakeDaytona]:
    with fake_daytona() as made:
        made.allow_host("127.0.0.1", port)
        made.allow_host("packages.example", 443, port)
        made.allow_host("a.modules.example", port)
        yield made
        made.assert_clean()


@pytest.fixture
async def client(fake: FakeDaytona) -> AsyncIterator[AsyncDaytona]:
    async with connected(fake) as made:
        yield made


@pytest.fixture
async def box(fake: FakeDaytona, client: AsyncDaytona) -> AsyncIterator[AsyncSandbox]:
    yield await client.create(asked("one"))
    fake.destroy_all()


async def said(box: AsyncSandbox, command: str) -> str:
    return (await box.process.exec(command, timeout=20)).result


@pytest.mark.parametrize(
    ("command", "code", "output"),
    [
        ("echo out; echo err >&2; exit 3", 3, "out\nerr\n"),
        ("pwd; id -un; echo $HOME", 0, "/workspace\nagent\n/home/agent\n"),
        ("cat\nnot a command", 0, "not a command"),
        ("printf 'a\\xff\\xfeb'", 0, "a\ufffd\ufffdb"),
        ("kill -9 $$", -1, ""),
        ("no-such-program", 127, "bash: line 1: no-such-program: command not found\n"),
        ("touch /usr/bin/mine /mine", 1, None),
    ],
    ids=["merged", "who and where", "stdin is the command", "bytes", "a signal", "missing", "read-only"],
)
async def test_a_command(box: AsyncSandbox, command: str, code: int, output: str | None) -> None:
    answer = await box.process.exec(command, timeout=20)
    assert answer.exit_code == code
    assert output in (None, answer.result)


async def test_a_command_has_its_folder_and_environment(box: AsyncSandbox) -> None:
    answer = await box.process.exec("pwd; echo $X", cwd="/tmp", env={"X": "a b"}, timeout=20)
    assert answer.result == "/tmp\na b\n"
    assert (await box.process.exec("pwd", cwd="/nowhere", timeout=20)).exit_code == -1


async def test_what_takes_too_long_is_killed_with_its_group_and_what_left_the_group_lives(box: AsyncSandbox) -> None:
    with pytest.raises(DaytonaProcessExecutionTimeoutError):
        await box.process.exec("setsid sleep 71 >/dev/null 2>&1 & sleep 72 & sleep 73", timeout=1)
    assert await said(box, "ps -eo args | grep ^sleep") == "sleep 71\n"


async def test_a_child_that_keeps_the_output_keeps_the_call(box: AsyncSandbox) -> None:
    assert await said(box, "(sleep 0.3; echo late) & echo early") == "early\nlate\n"


async def test_nothing_inside_can_end_the_daemon_or_look_into_it(box: AsyncSandbox) -> None:
    await box.process.exec("kill -9 1 -1", timeout=20)
    assert "denied" in await said(box, "readlink /proc/1/fd/0 || echo denied")


async def test_files_come_back_as_they_were_sent(box: AsyncSandbox) -> None:
    content = bytes(range(256)) * 8192
    await box.fs.upload_files(
        [FileUpload(source=content, destination="/workspace/repo/a b/ü"), FileUpload(b"", "empty")]
    )
    assert await box.fs.download_file("/workspace/repo/a b/ü") == content
    assert await box.fs.download_file("empty") == b""
    info = await box.fs.get_file_info("empty")
    assert (info.size, info.is_dir, info.path) == (0, False, "/workspace/empty")
    assert [entry.name for entry in await box.fs.list_files("repo")] == ["a b"]
    with pytest.raises(DaytonaNotFoundError):
        await box.fs.download_file("nothing")
    with pytest.raises(DaytonaError):
        await box.fs.upload_file(b"", "/usr/mine")
    with pytest.raises(DaytonaBadRequestError):
        await box.fs.delete_file("repo")
    await box.fs.delete_file("repo/a b", recursive=True)
    with pytest.raises(DaytonaNotFoundError):
        await box.fs.get_file_info("repo/a b")


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        ("bytes=0-", 206, "0123456789"),
        ("bytes=3-5", 206, "345"),
        ("bytes=8-99", 206, "89"),
        ("bytes=-2", 206, "89"),
        ("bytes=10-", 416, None),
        (None, 200, "0123456789"),
    ],
)
async def test_a_part_of_a_file(
    fake: FakeDaytona, box: AsyncSandbox, header: str | None, status: int, content: str | None
) -> None:
    await box.fs.upload_file(b"0123456789", "f")
    answer = await downloaded(fake, box, "f", header)
    assert answer.status_code == status
    assert content in (None, answer.text)
    expected = {206: "/10", 416: "bytes */10"}.get(status, "")
    assert answer.headers.get("content-range", "").endswith(expected)


def test_an_empty_file_has_no_parts() -> None:
    assert wanted("bytes=0-", 0) is None
    with pytest.raises(NoOverlap):
        wanted("lines=1-", 5)


async def test_what_is_no_file_cannot_be_downloaded(fake: FakeDaytona, box: AsyncSandbox) -> None:
    missing = await downloaded(fake, box, "f")
    assert (missing.status_code, missing.json()["code"]) == (404, "FILE_NOT_FOUND")
    assert (await downloaded(fake, box, "/workspace")).status_code == 400


async def test_a_stopped_sandbox_keeps_its_files_and_not_its_processes(box: AsyncSandbox) -> None:
    await said(box, "echo kept >f; setsid sleep 79 >/dev/null 2>&1 &")
    await box.stop()
    with pytest.raises(DaytonaBadRequestError, match="no IP address found"):
        await box.process.exec("true", timeout=5)
    await box.start()
    assert await said(box, "cat f; pgrep -x sleep") == "kept\n"


async def test_sandboxes_do_not_see_each_other(client: AsyncDaytona, box: AsyncSandbox) -> None:
    other = await client.create(asked("two"))
    await said(
        other, "echo s >/workspace/secret; echo s >/home/agent/secret; echo s >/tmp/secret; sleep 77 >/dev/null 2>&1 &"
    )
    assert await said(box, "ls -A /workspace/secret /home/agent /tmp 2>/dev/null; pgrep -x sleep") == (
        "/home/agent:\n\n/tmp:\n"
    )


_TRY = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as s:
        s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print("hello" if b"hello" in s.makefile("rb").read() else "answered")
except OSError as error:
    print("name" if isinstance(error, socket.gaierror) else "unreachable")
"""


async def reached(box: AsyncSandbox, host: str, port: int) -> str:
    return (await said(box, f"python3 - {host} {port} <<'E'{_TRY}E")).strip()


async def test_a_closed_network_leads_to_what_is_allowed_and_nowhere_else(
    fake: FakeDaytona, client: AsyncDaytona, box: AsyncSandbox, port: int
) -> None:
    listed = await client.create(asked("listed", domain_allow_list="packages.example,*.modules.example"))
    assert await reached(box, "127.0.0.1", port) == "hello"
    assert await reached(listed, "packages.example", 443) == "hello"
    assert await reached(listed, "a.modules.example", port) == "hello"
    assert await reached(box, "packages.example", 443) == "name"
    assert await reached(box, "github.com", 443) == "name"
    assert await reached(box, "1.1.1.1", 443) == "unreachable"
    assert await reached(listed, "127.0.0.1", port) == "unreachable"
    assert Contact("one", "127.0.0.1", port, allowed=True) in fake.internet
    assert Contact("one", "github.com", None, allowed=False) in fake.internet


async def test_what_comes_to_the_internet_later_is_reached_by_who_is_there_already(
    fake: FakeDaytona, box: AsyncSandbox
) -> None:
    with greeter() as later:
        assert await reached(box, "127.0.0.1", later) == "unreachable"
        fake.allow_host("127.0.0.1", later)
        assert await reached(box, "127.0.0.1", later) == "hello"


async def test_an_open_network_leads_to_everything_that_there_is(
    client: AsyncDaytona, box: AsyncSandbox, port: int
) -> None:
    free = await client.create(asked("free", domain_allow_list=None))
    assert await reached(free, "127.0.0.1", port) == "hello"
    assert await reached(free, "packages.example", 443) == "hello"
    assert await reached(free, "1.1.1.1", 443) == "answered"
    assert await reached(free, "github.com", 443) == "answered"
    assert await said(free, "getent ahostsv4 unknown.example >/dev/null && echo known") == "known\n"
    blocked = await client.create(asked("blocked", domain_allow_list=None, network_block_all=True))
    assert await reached(blocked, "127.0.0.1", port) == "unreachable"
    assert await reached(blocked, "github.com", 443) == "name"


async def test_a_low_tier_has_no_policy_and_reaches_the_essential_services(port: int) -> None:
    with fake_daytona(tier=2) as low:
        low.allow_host("127.0.0.1", port)
        async with connected(low) as client:
            with pytest.raises(DaytonaBadRequestError, match="domainAllowList"):
                await client.create(asked("one"))
            box = await client.create(asked("one", domain_allow_list=None))
            assert await reached(box, "127.0.0.1", port) == "unreachable"
            assert await reached(box, "github.com", 443) == "answered"
            assert await reached(box, "1.1.1.1", 443) == "unreachable"
        low.assert_clean()


async def test_the_agent_s_program_is_there_when_it_is_given(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho 1.2.3\n")
    program.chmod(0o755)
    with fake_daytona(claude=program) as fake:
        async with connected(fake) as client:
            box = await client.create(asked("one"))
            assert await said(box, "/opt/claude/claude --version; claude") == "1.2.3\n1.2.3\n"


_HOLDER = """
import asyncio, sys
from pathlib import Path
from tests.fakes.daytona import fake_daytona
from tests.fakes.daytona.client import asked, connected

async def main(fake):
    async with connected(fake) as client:
        box = await client.create(asked("one"))
        await box.process.exec("setsid sleep 1000 >/dev/null 2>&1 &", timeout=10)
    print("up", flush=True)
    sys.stdin.read()

with fake_daytona(Path(sys.argv[1])) as fake:
    asyncio.run(main(fake))
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, None], ids=["killed", "left"])
def test_nothing_outlives_the_emulator(tmp_path: Path, end: signal.Signals | None) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])}
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdin
        assert holder.stdout.readline() == b"up\n"
        assert len(processes_of(tmp_path)) > 1
        if end:
            holder.send_signal(end)
        else:
            holder.stdin.close()
    until(lambda: not processes_of(tmp_path), seconds=10)
    if not end:
        assert list(tmp_path.iterdir()) == []
