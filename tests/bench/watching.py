"""A client of its own: many connections that ask for a stream each; notes when what came, and reads it afterwards."""

import asyncio
import gc
import json
import pickle
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

_PATIENCE_SECONDS = 120.0
_CONNECTING_AT_ONCE = 50
_EVENT = re.compile(rb'id: (\d+)\ndata: \{[^\n]*?"timestamp":"([^"]+)"')


class Reader(asyncio.Protocol):
    """One connection."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.asked_at = 0.0
        self.came: list[tuple[float, bytes]] = []
        loop = asyncio.get_running_loop()
        self.begun = loop.create_future()
        self.ended = loop.create_future()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        self.asked_at = time.time()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.came.append((time.time(), data))
        if not self.begun.done() and b"id: " in data:
            self.begun.set_result(None)
        if data.endswith(b"0\r\n\r\n"):
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)
        if self._transport is not None:
            self._transport.close()

    @property
    def first_byte_seconds(self) -> float:
        """From the request to the first event."""
        assert any(b"id: " in data for _, data in self.came), self.came
        return next(at for at, data in self.came if b"id: " in data) - self.asked_at

    def latencies(self) -> list[tuple[int, float]]:
        """The number of each event, and the seconds from when it was stored until it was here."""
        stream = b""
        ends: list[tuple[int, float]] = []
        for at, data in self.came:
            stream += data
            ends.append((len(stream), at))
        found: list[tuple[int, float]] = []
        place = 0
        for match in _EVENT.finditer(stream):
            while ends[place][0] < match.end():
                place += 1
            stored_at = datetime.fromisoformat(match[2].decode()).timestamp()
            found.append((int(match[1]), ends[place][1] - stored_at))
        return found


def _same(reader: Reader) -> Reader:
    return reader


async def connected(port: int, requests: Sequence[bytes]) -> list[Reader]:
    loop = asyncio.get_running_loop()
    readers: list[Reader] = []
    for start in range(0, len(requests), _CONNECTING_AT_ONCE):
        made = [Reader(request) for request in requests[start : start + _CONNECTING_AT_ONCE]]
        await asyncio.gather(*(loop.create_connection(partial(_same, one), "127.0.0.1", port) for one in made))
        readers += made
    return readers


async def watch(port: int, requests: list[bytes]) -> dict[str, object]:
    """Says when all are there; then reads to the end."""
    readers = await connected(port, requests)
    for reader in readers:
        reader.ask()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(reader.begun for reader in readers))
        sys.stdout.write("there\n")
        sys.stdout.flush()
        await asyncio.gather(*(reader.ended for reader in readers))
    seen = [reader.latencies() for reader in readers]
    whole = sum([number for number, _ in each] == list(range(1, len(each) + 1)) for each in seen)
    return {"whole": whole, "seconds": [round(took, 6) for each in seen for number, took in each if number > 1]}


async def first_bytes(port: int, requests: list[bytes]) -> dict[str, object]:
    """All at once; ends when each stream has begun."""
    readers = await connected(port, requests)
    for reader in readers:
        reader.ask()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*(reader.begun for reader in readers))
    return {"seconds": [reader.first_byte_seconds for reader in readers]}


def main() -> None:
    what, port, prepared = sys.argv[1:]
    requests: list[bytes] = pickle.loads(Path(prepared).read_bytes())
    gc.freeze()
    gc.disable()
    measure = {"watch": watch, "first-bytes": first_bytes}[what]
    sys.stdout.write(json.dumps(asyncio.run(measure(int(port), requests))) + "\n")


if __name__ == "__main__":
    main()
