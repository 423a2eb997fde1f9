"""One bwrap process and everything inside it: started, fed, awaited and killed as one thing.

All of it dies with this process: the kernel kills bwrap when the thread that started it ends (so start from a
thread that lives as long as the worker), bwrap takes its PID namespace along, and the supervisor ends the rest
when the lifeline closes.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import SandboxFailed, bwrap_options
from bot.sandbox.installation import HOST_PATH, memory_file

_GONE_SECONDS = 10.0
_READY_SECONDS = 5.0
"""Longer than bwrap ever takes to make its namespace."""
_STATUS_BYTES = 4096
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Command:
    """`before` are words in front of bwrap, `options` go into its memory file, `argv` runs inside."""

    before: Sequence[str]
    bwrap: Path
    options: Sequence[str]
    argv: Sequence[str]
    passed: Sequence[int] = ()


class Contained:
    """A started one. Use from the event loop that started it."""

    def __init__(self, process: asyncio.subprocess.Process, status: int) -> None:
        self.process = process
        self.reason = ""
        """Why we killed it."""
        self._status = status
        self._status_text = b""
        self._namespace: int | None = None
        self._doomed = False
        """To be killed as soon as that leaves nothing behind."""
        os.set_blocking(status, False)
        asyncio.get_running_loop().add_reader(status, self._read_status)

    @classmethod
    async def start(
        cls, command: Command, *, stdin: int, stdout: int, stderr: int = asyncio.subprocess.PIPE
    ) -> "Contained":
        status, status_inside = os.pipe()
        try:
            with memory_file(bwrap_options.encode(command.options)) as options:
                process = await asyncio.create_subprocess_exec(
                    *command.before,
                    str(command.bwrap),
                    "--json-status-fd",
                    str(status_inside),
                    "--args",
                    str(options),
                    "--",
                    *command.argv,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    env={"PATH": HOST_PATH},
                    cwd="/",
                    # Both ends: a worker that dies must not end bwrap by a broken pipe before bwrap is ready to
                    # take its namespace along; that would leave half a sandbox waiting for ever.
                    pass_fds=(options, status, status_inside, *command.passed),
                )
        except OSError as error:
            os.close(status)
            raise SandboxFailed(f"bwrap cannot be started: {error.strerror}") from error
        except BaseException:
            os.close(status)
            raise
        finally:
            os.close(status_inside)
        return cls(process, status)

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self, reason: str = "") -> None:
        """At once; or, while bwrap makes its namespace, as soon as it has told of it.

        A bwrap that ends in between leaves a child behind that waits for ever and holds our pipes.
        """
        self.reason = self.reason or reason
        if self._status >= 0 and b"\n" not in self._status_text:
            self._read_status()
        if self._status >= 0 and b"\n" not in self._status_text:
            if not self._doomed:
                self._doomed = True
                asyncio.get_running_loop().call_later(_READY_SECONDS, self._kill_now)
        else:
            self._kill_now()

    def _kill_now(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        if self._namespace is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._namespace, signal.SIGKILL)

    async def wait(self) -> int:
        """The exit status, once nothing of it lives any more; -9 after `kill`."""
        code = await self.process.wait()
        if self._status >= 0:
            self._read_status()
            self._close_status()
        if self._namespace is not None:
            await self._namespace_gone(self._namespace)
        return code

    async def end(self) -> int:
        """Kill it if it lives, and read what nobody will: for whoever read its pipes until now."""
        self.kill()
        code = await self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            while stream and await stream.read(_CHUNK_BYTES):
                pass
        return code

    def started(self) -> bool:
        """Whether bwrap came as far as starting the program; else its message is on stderr. After `wait`."""
        return b"exit-code" in self._status_text

    def _read_status(self) -> None:
        try:
            text = os.read(self._status, _STATUS_BYTES)
        except BlockingIOError:
            return
        if not text:
            self._close_status()
            return
        known = b"\n" in self._status_text
        self._status_text += text
        first, newline, _ = self._status_text.partition(b"\n")
        if newline and not known:
            with contextlib.suppress(ProcessLookupError):
                self._namespace = os.pidfd_open(int(json.loads(first)["child-pid"]))
            if self._doomed:
                self._kill_now()

    def _close_status(self) -> None:
        if self._status >= 0:
            asyncio.get_running_loop().remove_reader(self._status)
            os.close(self._status)
            self._status = -1

    async def _namespace_gone(self, descriptor: int) -> None:
        """The kernel reports the namespace's first process ended only after all the others."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        self._namespace = None
        loop.add_reader(descriptor, gone.set)
        try:
            async with asyncio.timeout(_GONE_SECONDS):
                await gone.wait()
        except TimeoutError as error:
            raise SandboxFailed("a program in the sandbox does not die") from error
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
