"""The supervisor as its own process, as a sandbox starts it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox import supervisor

PROGRAM = [sys.executable, "-I", "-S", supervisor.__file__]
ENVIRONMENT = {"PATH": os.defpath}
PATIENCE_SECONDS = 20


def supervise(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *words],
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
    ids=["done", "failed", "terminated", "killed"],
)
def test_it_exits_with_the_programs_status(line: str, status: int) -> None:
    assert supervise("--", "sh", "-c", line).returncode == status


def test_a_program_that_is_missing_is_named() -> None:
    finished = supervise("--", "no-such-program")
    assert (finished.returncode, b"no-such-program" in finished.stderr) == (127, True)


def test_input_and_both_outputs_are_the_programs() -> None:
    finished = supervise("--", "sh", "-c", "cat; echo err >&2", stdin=b"in")
    assert (finished.stdout, finished.stderr) == (b"in", b"err\n")


@pytest.mark.parametrize("before", [[], ["env", "--ignore-signal=INT,QUIT,TERM,USR1"]], ids=["as usual", "ignored"])
def test_the_program_ignores_and_holds_back_no_signal(before: list[str]) -> None:
    look = ["--", "grep", "-E", "SigIgn|SigBlk", "/proc/self/status"]
    finished = subprocess.run(
        [*before, *PROGRAM, *look], env=ENVIRONMENT, capture_output=True, timeout=PATIENCE_SECONDS, check=True
    )
    blocked, ignored = (int(mask, 16) for mask in finished.stdout.split()[1::2])
    # 32 and 33 belong to the C library, which lets nobody change them; some shells' children inherit them ignored.
    assert (blocked, ignored & ~(1 << 31 | 1 << 32)) == (0, 0)


def test_orphans_do_not_keep_it() -> None:
    assert supervise("--", "sh", "-c", "sleep 0.2 & exit 5").returncode == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_are_passed_on(number: signal.Signals) -> None:
    trap = "trap 'echo caught; exit 9' TERM INT; echo ready; while :; do sleep 0.05; done"
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "--", "sh", "-c", trap, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    assert await process.stdout.read() == b"caught\n"
    assert await process.wait() == 9


async def test_the_end_of_its_lifeline_is_the_end_of_the_program() -> None:
    reading, writing = os.pipe()
    # Naming its own namespace, so that it ends its child only and not everything here.
    own = Path("/proc/self/ns/pid").stat().st_ino  # noqa: ASYNC240 - a look at /proc does not block
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "--lifeline",
        f"{reading}:{own}",
        "--",
        "sh",
        "-c",
        "echo ready; exec sleep 60",
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=[reading],
    )
    os.close(reading)
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    os.close(writing)
    assert await process.wait() == 137


def test_the_lifeline_is_not_the_programs() -> None:
    reading, writing = os.pipe()
    own = Path("/proc/self/ns/pid").stat().st_ino
    try:
        finished = subprocess.run(
            [*PROGRAM, "--lifeline", f"{reading}:{own}", "--", "ls", "/proc/self/fd"],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=[reading],
            check=True,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert str(reading).encode() not in finished.stdout.split()


@pytest.fixture
async def shouting(tmp_path: Path) -> AsyncIterator[Path]:
    """A Unix socket that answers all it is told, in capitals, once it was told all."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(shout, tmp_path / "s")
    async with server:
        yield tmp_path / "s"


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


CLIENT = """
import socket, sys, threading
def ask(size):
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
        client.sendall(b"x" * size)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer == b"X" * size, (size, len(answer))
threads = [threading.Thread(target=ask, args=(size,)) for size in (0, 1, 100_000, 5_000_000) * 3]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("asked")
"""


async def test_a_port_leads_to_a_socket_in_both_directions(shouting: Path, port: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *PROGRAM,
        "--forward",
        f"{port}:{shouting}",
        "--",
        sys.executable,
        "-c",
        CLIENT,
        str(port),
        env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert (output, errors) == (b"asked\n", b"")


def test_a_socket_that_nobody_serves_closes_the_connection(tmp_path: Path, port: int) -> None:
    client = f"import socket; print(socket.create_connection(('127.0.0.1', {port})).recv(1))"
    finished = supervise("--forward", f"{port}:{tmp_path}/none", "--", sys.executable, "-c", client)
    assert finished.stdout == b"b''\n"
