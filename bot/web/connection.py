"""A client's connection: one that does not read what it asked for is ended, and keeps little memory meanwhile."""

import asyncio
import socket
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SEND_BUFFER_BYTES = 128 * 1024
"""In the kernel, which gives a connection megabytes of its own accord."""


class Connection(HttpToolsProtocol):
    """Ended when what is to be written waits too long: nothing that an answer does could free that memory.

    An answer only waits while the buffer is full, and closing it politely would wait for the reader just the same.
    """

    patience_seconds: ClassVar[float] = 30.0
    """So long may it take until there is room again."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it: it is a stream's
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        if connected is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._deadline = self.loop.call_later(self.patience_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forgive()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forgive()

    def _forgive(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
