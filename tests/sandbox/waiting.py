"""Waiting for facts."""

import asyncio
from collections.abc import Awaitable, Callable

from bot.sandbox import Exited, Handle, Sandbox

_POLL_SECONDS = 0.01
_PATIENCE_SECONDS = 30.0


async def until(fact: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await fact():  # noqa: ASYNC110 - the facts are another process's
            await asyncio.sleep(_POLL_SECONDS)


async def ended(sandbox: Sandbox, handle: Handle) -> Exited:
    async def has_ended() -> bool:
        return isinstance(await sandbox.status(handle), Exited)

    await until(has_ended)
    status = await sandbox.status(handle)
    assert isinstance(status, Exited)
    return status


async def printed(sandbox: Sandbox, handle: Handle, text: bytes) -> None:
    async def is_there() -> bool:
        return text in await sandbox.read(handle, 0)

    await until(is_there)
