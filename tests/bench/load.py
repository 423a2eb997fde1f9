"""A client of its own: sends prepared requests at a fixed rate, whatever the answers do (an open loop).

A request's time counts from when it was due, so that one that had to wait for its turn is not flattered.
"""

import asyncio
import gc
import json
import pickle
import sys
from pathlib import Path

_CONNECTIONS = 64
_ANSWER_SECONDS = 30.0
_LEAD_SECONDS = 0.2

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def fire(host: str, port: int, rate: float, requests: list[bytes]) -> list[tuple[int, float]]:
    """The status of each and the seconds from when it was due to the end of its answer; 0 without an answer."""
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(host, port))
    loop = asyncio.get_running_loop()
    answers: list[tuple[int, float]] = []

    async def one(request: bytes, due: float) -> None:
        reader, writer = await free.get()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status = await _exchange(reader, writer, request)
        except (OSError, EOFError, TimeoutError):
            status = 0
            writer.close()
            reader, writer = await asyncio.open_connection(host, port)
        answers.append((status, loop.time() - due))
        free.put_nowait((reader, writer))

    begin = loop.time() + _LEAD_SECONDS
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(one(request, due))
    while not free.empty():
        free.get_nowait()[1].close()
    return answers


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or b"0"))
    return int(head.split(None, 2)[1])


def main() -> None:
    host, port, rate, requests = sys.argv[1:]
    prepared: list[bytes] = pickle.loads(Path(requests).read_bytes())
    gc.freeze()
    gc.disable()
    answers = asyncio.run(fire(host, int(port), float(rate), prepared))
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
