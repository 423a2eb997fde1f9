"""The egress gateway: the only way from a sandbox to the network, an HTTP proxy behind a Unix socket for each run.

It reaches the hosts on the run's allow-list. A name is resolved here, all its addresses are judged, and one of the
judged addresses is connected to, so that a second answer of the name server changes nothing.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bot.sandbox.allow import Allow, address_refusal
from bot.sandbox.proxy_request import Malformed, ProxyRequest, parse

_HEAD_BYTES = 32 * 1024
_HEAD_SECONDS = 15.0
_CONNECT_SECONDS = 15.0
_IDLE_SECONDS = 600.0
_LINGER_SECONDS = 5.0
_CHUNK_BYTES = 64 * 1024
_CONNECTIONS = 128
_BACKLOG = 256


@dataclass(frozen=True)
class Refused:
    """A host that the sandbox wanted and did not get; told once for each host and port."""

    host: str
    port: int
    why: str


Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The host's addresses, by this machine's own resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass
class _Door:
    """One run's socket."""

    path: Path
    allow: Allow
    on_refused: Callable[[Refused], Awaitable[None]]
    server: asyncio.Server | None = None
    told: set[tuple[str, int]] = field(default_factory=set)
    busy: set[asyncio.Task[None]] = field(default_factory=set)


class EgressGateway:
    def __init__(self, directory: Path, *, resolve: Resolve = resolve) -> None:
        """`directory` is made private to this process's user; sandboxes get links to the sockets in it."""
        self._directory = directory
        self._resolve = resolve
        self._doors: dict[str, _Door] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for key in list(self._doors):
            await self.close(key)

    async def open(self, key: str, allow: Allow, on_refused: Callable[[Refused], Awaitable[None]]) -> Path:
        """The socket of the run `key`, a path on the host. One that is open already is closed first."""
        await self.close(key)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        door = _Door(self._directory / f"{key}.sock", allow, on_refused)
        self._doors[key] = door

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._admit(door, reader, writer)

        door.server = await asyncio.start_unix_server(
            serve, sock=_listener(door.path), limit=_HEAD_BYTES, backlog=_BACKLOG
        )
        return door.path

    async def close(self, key: str) -> None:
        """End the run's connections. A run that has no socket is no error."""
        door = self._doors.pop(key, None)
        if not door:
            return
        if door.server:
            door.server.close()
        for task in list(door.busy):
            task.cancel()
        if door.busy:
            await asyncio.wait(list(door.busy))
        door.path.unlink(missing_ok=True)

    async def _admit(self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        door.busy.add(task)
        try:
            if len(door.busy) > _CONNECTIONS:
                await _answer(reader, writer, 503, f"more than {_CONNECTIONS} connections at once")
            else:
                await self._serve(door, reader, writer)
            await _flush(writer)
        except (OSError, asyncio.CancelledError):
            pass  # the client or the origin went away, or the run was closed
        finally:
            door.busy.discard(task)
            writer.transport.abort()

    async def _serve(self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                request = parse(await reader.readuntil(b"\r\n\r\n"))
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            request = Malformed()
        if isinstance(request, Malformed):
            await _answer(reader, writer, 400, "this is an HTTP proxy: CONNECT host:port, or an absolute http URL")
            return
        addresses = await self._addresses(door, request, reader, writer)
        if not addresses:
            return
        origin = await _connect(addresses, request.port)
        if not origin:
            await _answer(reader, writer, 502, f"{request.host}:{request.port} does not answer")
            return
        origin_reader, origin_writer = origin
        try:
            if request.opening:
                origin_writer.write(request.opening)
            else:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, origin_reader, origin_writer)
            await _flush(origin_writer)
        finally:
            origin_writer.transport.abort()

    async def _addresses(
        self, door: _Door, request: ProxyRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> list[str]:
        """Where it may connect; empty once the client was told why not."""
        host, port = request.host, request.port
        if not door.allow.permits(host, port):
            await self._refuse(door, Refused(host, port, "it is not on the allow-list"), reader, writer)
            return []
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            await _answer(reader, writer, 502, f"{host} has no address")
            return []
        for address in addresses:
            why = address_refusal(address, private_allowed=host in door.allow.private)
            if why:
                await self._refuse(door, Refused(host, port, why), reader, writer)
                return []
        return addresses

    async def _refuse(
        self, door: _Door, refused: Refused, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if (refused.host, refused.port) not in door.told:
            door.told.add((refused.host, refused.port))
            await door.on_refused(refused)
        # Package installers show the reason phrase and nothing else.
        await _answer(
            reader,
            writer,
            403,
            f"Backspace does not let this sandbox reach {refused.host}:{refused.port}: {refused.why} "
            "(network.allow in .github/backspace.yml)",
        )


def _listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        # A socket's address has room for 107 bytes; this one is short wherever the directory is.
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


async def _connect(addresses: list[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CONNECT_SECONDS):
            for address in addresses:
                with contextlib.suppress(OSError):
                    return await asyncio.open_connection(address, port)
    return None


async def _join(
    client_reader: asyncio.StreamReader,
    client_writer: asyncio.StreamWriter,
    origin_reader: asyncio.StreamReader,
    origin_writer: asyncio.StreamWriter,
) -> None:
    async with asyncio.TaskGroup() as ways:
        ways.create_task(_pump(client_reader, origin_writer))
        ways.create_task(_pump(origin_reader, client_writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # a timeout is one of them
        while True:
            async with asyncio.timeout(_IDLE_SECONDS):
                chunk = await reader.read(_CHUNK_BYTES)
            if not chunk:
                break
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):  # closed already
        writer.write_eof()


async def _flush(writer: asyncio.StreamWriter) -> None:
    """Wait until all is sent, for as long as somebody takes it."""
    writer.close()
    async with asyncio.timeout(_IDLE_SECONDS):
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int, words: str) -> None:
    body = f"{words}\n".encode()
    writer.write(
        f"HTTP/1.1 {status} {words}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    with contextlib.suppress(OSError):
        await writer.drain()
        writer.write_eof()
        # A socket that is closed over unread bytes takes the answer along.
        async with asyncio.timeout(_LINGER_SECONDS):
            while await reader.read(_CHUNK_BYTES):
                pass
