"""Bytes and trees between the host's processes and the ones inside."""

import asyncio
import contextlib
from pathlib import Path

from bot.sandbox import SandboxFailed
from bot.sandbox.contained import Contained
from bot.sandbox.installation import HOST_PATH

_CHUNK_BYTES = 64 * 1024
_ERROR_BYTES = 4096
_FILE_SECONDS = 120.0


async def feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    """Give a process all of its input; one that does not want it is no error."""
    if stream:
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stream.write(data)
                await stream.drain()
        finally:
            stream.close()


async def collect(stream: asyncio.StreamReader | None, limit_bytes: int) -> tuple[bytes, bool]:
    """What comes up to the limit, and whether there was more; always read to the end, so that nobody waits."""
    kept = bytearray()
    cut = False
    while stream and (chunk := await stream.read(_CHUNK_BYTES)):
        room = limit_bytes - len(kept)
        kept += chunk[:room]
        cut = cut or len(chunk) > room
    return bytes(kept), cut


async def collect_ends(stream: asyncio.StreamReader | None, limit_bytes: int) -> tuple[bytes, bool]:
    """The beginning and the end of what comes, half of the limit each, and whether anything was left out."""
    head = bytearray()
    tail = bytearray()
    half = limit_bytes // 2
    cut = False
    while stream and (chunk := await stream.read(_CHUNK_BYTES)):
        room = limit_bytes - half - len(head)
        head += chunk[:room]
        tail += chunk[room:]
        cut = cut or len(tail) > half
        del tail[: max(0, len(tail) - half)]
    return bytes(head + tail), cut


async def finish(
    contained: Contained, data: bytes = b"", *, limit_bytes: int = 0, seconds: float = _FILE_SECONDS
) -> tuple[int, bytes, str]:
    """Exit status, output and the error's words of one of our own file tools."""
    timer = asyncio.get_running_loop().call_later(seconds, contained.kill, "timeout")
    try:
        _, (output, _), (errors, _) = await asyncio.gather(
            feed(contained.process.stdin, data),
            collect(contained.process.stdout, limit_bytes),
            collect(contained.process.stderr, _ERROR_BYTES),
        )
        code = await contained.wait()
    finally:
        timer.cancel()
        await contained.end()
    words = errors.decode(errors="replace").strip()
    return code, output, "it took too long" if contained.reason == "timeout" else words


async def pack(directory: Path, writing: int) -> asyncio.subprocess.Process:
    """Send a host directory, which no agent ever wrote in, as an archive."""
    return await asyncio.create_subprocess_exec(
        *("tar", "--create", "--file=-", "--sparse", f"--directory={directory}", "."),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=writing,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": HOST_PATH},
    )


async def packed(process: asyncio.subprocess.Process, receiver: Contained, *, seconds: float) -> None:
    """Raises SandboxFailed when the tree did not arrive whole."""
    try:
        (code, _, errors), (problem, _) = await asyncio.gather(
            finish(receiver, seconds=seconds), collect(process.stderr, _ERROR_BYTES)
        )
        if await process.wait() != 0 or code != 0:
            raise SandboxFailed(f"the tree did not arrive: {errors or problem.decode(errors='replace')}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def copied(sender: Contained, receiver: Contained, *, seconds: float) -> None:
    """Raises SandboxFailed when the tree did not arrive whole."""
    (sent, _, problem), (received, _, errors) = await asyncio.gather(
        finish(sender, seconds=seconds), finish(receiver, seconds=seconds)
    )
    # 1: a file changed while it was read, as it may in a tree that somebody works in.
    if sent not in (0, 1) or received != 0:
        raise SandboxFailed(f"the files cannot be copied: {errors or problem}")
