"""A run's events as a `text/event-stream` answer.

Starlette's own streaming, with the watch inside of it: it begins with the answer and ends with it, however that
ends. sse-starlette would replace a method of uvicorn's server when imported, and give each reader a timer of its own.
"""

import asyncio
from collections.abc import Iterator, Sequence

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bot.errors import StoreUnavailable
from bot.events import StoredEvent
from bot.model import RunId
from bot.web import sse
from bot.web.hub import Frame, Hub, Watcher

_CHUNK_BYTES = 64 * 1024
"""As many frames as that are handed over at once; more would lie in memory for each slow reader."""


class EventStream(StreamingResponse):
    """From the event behind `after`, or behind `opening`, which is sent at once; see `Hub` for how it ends."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, run_id: RunId, after: int, *, opening: StoredEvent | None = None) -> None:
        # Proxies must neither keep nor hold back what passes; X-Accel-Buffering is nginx's word for that:
        # https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering
        headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
        super().__init__(content=(), headers=headers)
        self._hub = hub
        self._run_id = run_id
        self._after = opening.seq if opening else after
        self._opening = sse.frame(opening) if opening else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What is known goes out before a watch is set up: of many who ask at once each has its first event sooner.
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if self._opening:
            await send({"type": "http.response.body", "body": self._opening, "more_body": True})
            await asyncio.sleep(0)
        await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        try:
            async with self._hub.watch(self._run_id, self._after, new=bool(self._opening)) as watcher:
                await _pass_on(watcher, send)
        except StoreUnavailable:
            # It has begun; the reader comes back and goes on behind its place.
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _pass_on(watcher: Watcher, send: Send) -> None:
    while (frames := await watcher.frames()) is not None:
        for chunk in _chunks(frames) if frames else (sse.KEEP_ALIVE,):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    if watcher.dropped:
        await send({"type": "http.response.body", "body": sse.DROPPED, "more_body": True})


def _chunks(frames: Sequence[Frame]) -> Iterator[bytes]:
    parts: list[bytes] = []
    size_bytes = 0
    for frame in frames:
        if parts and size_bytes + len(frame.data) > _CHUNK_BYTES:
            yield b"".join(parts)
            parts, size_bytes = [], 0
        parts.append(frame.data)
        size_bytes += len(frame.data)
    # One alone stays the bytes that all watchers share.
    yield parts[0] if len(parts) == 1 else b"".join(parts)
