"""Commands: a shell reads each from its stdin; whoever is dead is collected."""

# Files by os.path: importing pathlib takes longer than all the rest of a start.
# ruff: noqa: PTH110, PTH119

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
_SHELLS = ("/usr/bin/bash", "/bin/sh")
_CHUNK = 65536


class Processes:
    """Starts them, and collects every dead one, since orphans become the first process's own."""

    def __init__(self, environment: Mapping[str, str], folder: str) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._lock = threading.Lock()
        self._running: dict[int, tuple[threading.Event, list[int]]] = {}

    def collect(self) -> None:
        while True:
            signal.sigwait({signal.SIGCHLD})
            with self._lock, contextlib.suppress(ChildProcessError):
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    event, codes = self._running.pop(ended[0], (threading.Event(), []))
                    codes.append(os.waitstatus_to_exitcode(ended[1]))
                    event.set()

    def start(
        self, order: Json, stdin: int, output: int, errors: int | None = None
    ) -> tuple[int, threading.Event, list[int]]:
        """A shell that reads commands; raises OSError where its folder is none."""
        shell = next(path for path in _SHELLS if os.path.exists(path))
        event = threading.Event()
        codes: list[int] = []
        with self._lock:
            os.chdir(order.get("cwd") or self._folder)
            pid = os.posix_spawn(
                shell,
                [os.path.basename(shell)],
                self._environment | (order.get("envs") or {}),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, stdin, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output if errors is None else errors, 2),
                ],
                setpgroup=0,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT],
            )
            self._running[pid] = event, codes
        return pid, event, codes


def execute(processes: Processes, order: Json) -> tuple[int | None, bytes]:
    """Exit code and output; no code when it took too long. Waits for whoever keeps the output open."""
    stdin, command = os.pipe()
    reading, output = os.pipe()
    try:
        pid, event, codes = processes.start(order, stdin, output)
    except OSError:
        os.close(command)
        os.close(reading)
        return -1, b""
    finally:
        os.close(stdin)
        os.close(output)
    threading.Thread(target=feed, args=(command, order["command"].encode()), daemon=True).start()
    end = time.monotonic() + order["timeout"]
    parts: list[bytes] = []
    try:
        while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (part := os.read(reading, _CHUNK)):
                break
            parts.append(part)
        if event.wait(max(0.0, end - time.monotonic())):
            # Go gives -1 for a program that a signal ended.
            return max(codes[0], -1), b"".join(parts)
    finally:
        os.close(reading)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return None, b"".join(parts)


def feed(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as pipe:
        left = memoryview(data)
        while left:
            left = left[pipe.write(left) or 0 :]
