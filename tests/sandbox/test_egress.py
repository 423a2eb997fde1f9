"""The gateway through its own socket, with an origin on loopback that a setting names."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.sandbox import Spec
from bot.sandbox.allow import Allow, rules
from bot.sandbox.bubblewrap import Bubblewrap
from bot.sandbox.egress import EgressGateway, Refused
from tests.sandbox.backends import bubblewrap, reachable_directory
from tests.sandbox.waiting import until

ADDRESSES = {
    "mirror.test": ["127.0.0.1"],
    "rebound.test": ["127.0.0.1"],
    "metadata.test": ["169.254.169.254"],
    "half.test": ["1.1.1.1", "10.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "closed.test": ["127.0.0.1"],
}


async def look_up(host: str, port: int) -> list[str]:
    if host in ADDRESSES:
        return ADDRESSES[host]
    raise OSError("no such name")


@dataclass
class Origin:
    """Answers every connection with what it was sent."""

    port: int = 0
    seen: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.seen.append(head)
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    here = Origin()
    async with await asyncio.start_server(here.serve, "127.0.0.1", 0) as server:
        here.port = server.sockets[0].getsockname()[1]
        yield here


@dataclass
class Gate:
    gateway: EgressGateway
    socket: Path
    refused: list[Refused]

    async def ask(self, request: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(request.encode())
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer.decode()

    async def connect(self, host: str, port: int) -> str:
        """The status line."""
        return (await self.ask(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n")).partition("\r\n")[0]


@pytest.fixture
async def gate(origin: Origin) -> AsyncIterator[Gate]:
    refused: list[Refused] = []

    async def note(refusal: Refused) -> None:
        refused.append(refusal)

    hosts = [f"{name}:{origin.port}" for name in ADDRESSES] + ["unknown.test", "closed.test:1", "169.254.169.254"]
    allow = Allow(rules(hosts), frozenset({"mirror.test", "closed.test", "metadata.test", "169.254.169.254"}))
    with reachable_directory() as directory:
        async with EgressGateway(directory / "egress", resolve=look_up) as gateway:
            yield Gate(gateway, await gateway.open("run", allow, note), refused)


async def test_a_tunnel_leads_to_an_allowed_host(gate: Gate, origin: Origin) -> None:
    reader, writer = await asyncio.open_unix_connection(gate.socket)
    writer.write(f"CONNECT mirror.test:{origin.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    writer.write(b"anything\r\n\r\n")
    assert (await reader.read()).endswith(b"anything\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert gate.refused == []


async def test_plain_http_is_sent_on_in_origin_form(gate: Gate, origin: Origin) -> None:
    answer = await gate.ask(
        f"GET http://mirror.test:{origin.port}/simple/x?y=1 HTTP/1.1\r\nHost: other.test\r\nAccept: */*\r\n"
        "Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n\r\n"
    )
    assert answer.startswith("HTTP/1.1 200 OK")
    assert origin.seen == [
        f"GET /simple/x?y=1 HTTP/1.1\r\nHost: mirror.test:{origin.port}\r\nConnection: close\r\n"
        "Accept: */*\r\n\r\n".encode()
    ]


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("other.test", "it is not on the allow-list"),
        ("rebound.test", "its address is a loopback address"),
        ("mapped.test", "its address is a loopback address"),
        ("half.test", "its address is private"),
        ("metadata.test", "its address is link-local"),
    ],
)
async def test_a_refusal_names_the_host_and_is_told_once(gate: Gate, origin: Origin, host: str, why: str) -> None:
    for _ in range(2):
        status = await gate.connect(host, origin.port)
        assert status.startswith("HTTP/1.1 403 ")
        assert f"{host}:{origin.port}" in status
        assert "network.allow" in status
    assert gate.refused == [Refused(host, origin.port, why)]
    assert origin.seen == []


async def test_the_metadata_address_is_refused_even_when_a_setting_names_it(tmp_path: Path) -> None:
    refused: list[Refused] = []

    async def note(refusal: Refused) -> None:
        refused.append(refusal)

    allow = Allow(rules(["169.254.169.254"]), frozenset({"169.254.169.254"}))
    async with EgressGateway(tmp_path / "egress") as gateway:
        gate = Gate(gateway, await gateway.open("run", allow, note), refused)
        assert (await gate.connect("169.254.169.254", 80)).startswith("HTTP/1.1 403 ")
    assert refused == [Refused("169.254.169.254", 80, "its address is link-local")]


async def test_a_name_that_this_machine_resolves_to_loopback_is_refused(tmp_path: Path, origin: Origin) -> None:
    refused: list[Refused] = []

    async def note(refusal: Refused) -> None:
        refused.append(refusal)

    async with EgressGateway(tmp_path / "egress") as gateway:
        socket = await gateway.open("run", Allow(rules([f"localhost:{origin.port}"])), note)
        assert (await Gate(gateway, socket, refused).connect("localhost", origin.port)).startswith("HTTP/1.1 403 ")
    assert refused == [Refused("localhost", origin.port, "its address is a loopback address")]


async def test_the_port_counts(gate: Gate) -> None:
    assert "403" in await gate.connect("mirror.test", 443)
    assert gate.refused == [Refused("mirror.test", 443, "it is not on the allow-list")]


@pytest.mark.parametrize(("host", "port"), [("unknown.test", 443), ("closed.test", 1)], ids=["no address", "no answer"])
async def test_a_host_that_cannot_be_reached_is_no_refusal(gate: Gate, host: str, port: int) -> None:
    status = await gate.connect(host, port)
    assert status.startswith("HTTP/1.1 502 ")
    assert host in status
    assert gate.refused == []


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET https://mirror.test/ HTTP/1.1\r\n\r\n",
        "GET file:///etc/passwd HTTP/1.1\r\n\r\n",
        "CONNECT mirror.test HTTP/1.1\r\n\r\n",
        "CONNECT mirror.test:99999 HTTP/1.1\r\n\r\n",
        "CONNECT :443 HTTP/1.1\r\n\r\n",
        "CONNECT exa_mple!.test:443 HTTP/1.1\r\n\r\n",
        "nonsense\r\n\r\n",
        "\r\n\r\n",
        "GET http://mirror.test/" + "x" * 100_000,
    ],
)
async def test_what_is_no_proxy_request_is_answered_400(gate: Gate, request_text: str) -> None:
    assert (await gate.ask(request_text)).startswith("HTTP/1.1 400 ")
    assert gate.refused == []


async def test_closing_a_run_ends_its_connections_and_its_socket(gate: Gate, origin: Origin) -> None:
    reader, writer = await asyncio.open_unix_connection(gate.socket)
    writer.write(f"CONNECT mirror.test:{origin.port} HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await gate.gateway.close("run")
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not gate.socket.exists()
    await gate.gateway.close("run")


async def test_there_is_an_end_to_connections_at_once(gate: Gate) -> None:
    held = [await asyncio.open_unix_connection(gate.socket) for _ in range(128)]

    async def full() -> bool:
        return (await gate.connect("mirror.test", 443)).startswith("HTTP/1.1 503 ")

    await until(full)
    for _, writer in held:
        writer.close()
        await writer.wait_closed()


async def test_runs_have_lists_of_their_own(gate: Gate, origin: Origin) -> None:
    async def note(refusal: Refused) -> None:
        gate.refused.append(refusal)

    other = Gate(gate.gateway, await gate.gateway.open("other", Allow(), note), gate.refused)
    assert "403" in await other.connect("mirror.test", origin.port)
    assert "200" in (await gate.ask(f"GET http://mirror.test:{origin.port}/ HTTP/1.1\r\n\r\n"))


@pytest.fixture
async def sandbox(tools: Path) -> AsyncIterator[Bubblewrap]:
    async with bubblewrap(tools) as backend:
        yield backend


async def test_a_program_in_a_sandbox_reaches_what_its_run_may_and_nothing_else(
    sandbox: Bubblewrap, gate: Gate, origin: Origin
) -> None:
    box = await sandbox.create("run", Spec(egress_socket=gate.socket))
    program = f"""
import urllib.request, urllib.error
for url in ("http://mirror.test:{origin.port}/simple", "http://other.test/"):
    try:
        print(urllib.request.urlopen(url).status)
    except urllib.error.HTTPError as error:
        print(error.code, error.reason)
"""
    finished = await sandbox.run(box, ["python3", "-c", program], timeout_seconds=30)
    reached, refused = finished.output.decode().splitlines()
    assert reached == "200"
    assert refused.startswith("403 Backspace does not let this sandbox reach other.test:80")
    assert gate.refused == [Refused("other.test", 80, "it is not on the allow-list")]
