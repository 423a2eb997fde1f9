"""Plain ASGI: reading a body, answering, and hanging up."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive, Send


async def read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            break
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(pieces)


async def respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    rows = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if status not in (204, 304):
        rows.append((b"content-length", str(len(body)).encode()))
    else:
        body = b""
        rows = [row for row in rows if row[0] != b"content-type"]
    await send({"type": "http.response.start", "status": status, "headers": rows})
    await send({"type": "http.response.body", "body": body})


async def drop(send: Send) -> None:
    """Close the connection without a word.

    ASGI has no word for it; uvicorn's `send` is a method of the object that holds the transport.
    """
    transport: asyncio.Transport | None = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        return
    transport.abort()
    # The protocol hears of the lost connection in the next turns of the loop, and then answers no more.
    for _ in range(3):
        await asyncio.sleep(0)
