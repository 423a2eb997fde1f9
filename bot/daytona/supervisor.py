"""Runs inside a Daytona sandbox: starts one program, feeds it, keeps what it prints, and outlives all of it.

`python3 -I -S supervisor.py FOLDER ALIVE`, as detached.py starts it: FOLDER/started.json says what to start, ALIVE is
the descriptor of the lock that says that this process lives. SIGTERM ends the program at once. The order: argv, cwd,
env (added to ours), nice, stdin (there will be pieces), seconds (0 for no limit), merged (one output, its two ends
kept; else stdout is kept from its start and stderr from its end), limit_bytes of output. Standard library only.
"""

import base64
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Protocol

Json = dict[str, Any]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_CHUNK_BYTES = 64 * 1024
_STDERR_BYTES = 64 * 1024
# Freed at the end, so that a full disk does not keep the exit from being written.
_RESERVE_BYTES = 256 * 1024
_FULL_BYTES = 1024**2
_LOOK_SECONDS = 0.1
_KILL_SECONDS = 10.0
_KILL_PAUSE_SECONDS = 0.01
_MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")


# What a program prints


class Kept(Protocol):
    def take(self, data: bytes) -> bool:
        """False when it is too much."""
        ...


class Whole:
    """All of it in a file, up to a limit."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self._file = path.open("ab", buffering=0)
        self._room = limit_bytes

    def take(self, data: bytes) -> bool:
        kept = data[: self._room]
        self._room -= len(kept)
        view = memoryview(kept)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
        except OSError:
            return False
        return len(kept) == len(data)


class Ends:
    """The beginning and the end, half of the limit each."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = limit_bytes // 2
        self._head_bytes = limit_bytes - self._half
        self._head = bytearray()
        self._tail = bytearray()
        self.cut = False

    def take(self, data: bytes) -> bool:
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        self.cut = self.cut or len(self._tail) > self._half
        del self._tail[: max(0, len(self._tail) - self._half)]
        return True

    @property
    def content(self) -> bytes:
        return bytes(self._head + self._tail)


# What a program reads


class Stdin:
    """A pipe, filled from the pieces as they come."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self.descriptor: int | None = descriptor
        self._folder = folder
        self._number = 0
        self._left = memoryview(b"")
        os.set_blocking(descriptor, False)

    @property
    def has_more(self) -> bool:
        return bool(self._left)

    def look(self) -> None:
        """See whether the next piece has come."""
        if self.descriptor is None or self._left:
            return
        if (self._folder / "in" / f"{self._number}-end").exists():
            self.close()
            return
        for path in (self._folder / "in").glob(f"{self._number}-*"):
            data = path.read_bytes()
            if path.name.partition("-")[2] == str(len(data)):
                self._left = memoryview(data)
                self._number += 1
                return

    def feed(self) -> None:
        if self.descriptor is not None:
            try:
                self._left = self._left[os.write(self.descriptor, self._left) :]
            except BlockingIOError:
                return
            except OSError:
                self.close()

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None
        self._left = memoryview(b"")


# The supervisor


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _descendants() -> set[int]:
    """Of this process, which inherits every orphan among them, however far down."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # After the name, which may hold anything, come the state and the parent.
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    parents = [os.getpid()]
    while parents:
        below = children.get(parents.pop(), [])
        found.update(below)
        parents += below
    return found


def _memory_kills() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in _MEMORY_EVENTS.read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0


class Supervisor:
    """Runs one program to its end. Nothing of what it started is alive when `exit` is there."""

    def __init__(self, folder: Path, order: Json) -> None:
        self._folder = folder
        self._order = order
        self._code: int | None = None
        self._reason = ""
        self._timed_out = False
        self._asked_to_end = False
        self._program = 0
        self._outputs: dict[int, Kept] = {}
        self._errors = Ends(2 * _STDERR_BYTES)
        self._stdin: Stdin | None = None

    def run(self) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        began = time.monotonic()
        kills = _memory_kills()
        (self._folder / "reserve").write_bytes(bytes(_RESERVE_BYTES))
        woken = self._mind_signals()
        ends = Ends(self._order["limit_bytes"])
        kept: Kept = ends if self._order["merged"] else Whole(self._folder / "out", self._order["limit_bytes"])
        self._start(kept)
        (self._folder / "pid").write_text(f"{os.getpid()} {self._program}")
        self._attend(woken, began + self._order["seconds"] if self._order["seconds"] else None)
        self._kill_all()
        for descriptor in list(self._outputs):
            while self._take(descriptor):
                pass
        self._explain(kills)
        self._record(ends, time.monotonic() - began)

    def _mind_signals(self) -> int:
        woken, waking = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waking, False)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)

        def asked(number: int, _frame: FrameType | None) -> None:
            self._asked_to_end = self._asked_to_end or number == signal.SIGTERM

        signal.signal(signal.SIGTERM, asked)
        signal.signal(signal.SIGCHLD, asked)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return woken

    def _start(self, kept: Kept) -> None:
        reading, output = os.pipe()
        errors_reading, errors = (-1, output) if self._order["merged"] else os.pipe()
        if self._order["stdin"]:
            stdin, feeding = os.pipe()
        else:
            stdin, feeding = os.open(os.devnull, os.O_RDONLY), -1
        parent = os.getpid()
        self._program = os.fork()
        if not self._program:
            _become(self._order, (stdin, output, errors), parent)
        for descriptor in {stdin, output, errors}:
            os.close(descriptor)
        for descriptor, into in ((reading, kept), (errors_reading, self._errors)):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
                self._outputs[descriptor] = into
        if feeding >= 0:
            self._stdin = Stdin(self._folder, feeding)

    def _attend(self, woken: int, deadline: float | None) -> None:
        while self._code is None and not self._asked_to_end and not self._reason:
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                self._timed_out = True
                return
            for descriptor in self._ready(woken, wait):
                if descriptor == woken:
                    os.read(woken, _CHUNK_BYTES)
                    self._reap()
                elif descriptor in self._outputs:
                    self._take(descriptor)
                elif self._stdin:
                    self._stdin.feed()

    def _ready(self, woken: int, wait_seconds: float | None) -> list[int]:
        poll = select.poll()
        for descriptor in (woken, *self._outputs):
            poll.register(descriptor, select.POLLIN)
        if self._stdin:
            self._stdin.look()
        if self._stdin and self._stdin.descriptor is not None:
            if self._stdin.has_more:
                poll.register(self._stdin.descriptor, select.POLLOUT)
            else:
                wait_seconds = _LOOK_SECONDS if wait_seconds is None else min(wait_seconds, _LOOK_SECONDS)
        return [descriptor for descriptor, _ in poll.poll(None if wait_seconds is None else wait_seconds * 1000)]

    def _take(self, descriptor: int) -> bool:
        """False when there is no more for now."""
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not data:
            os.close(descriptor)
            del self._outputs[descriptor]
            return False
        if not self._outputs[descriptor].take(data):
            self._reason = "disk"
        return True

    def _reap(self) -> bool:
        """False when no child is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                if pid == self._program:
                    self._code = os.waitstatus_to_exitcode(status)
        except ChildProcessError:
            return False

    def _kill_all(self) -> None:
        end = time.monotonic() + _KILL_SECONDS
        stopped: set[int] = set()
        while self._reap() and time.monotonic() < end:
            found = _descendants()
            # All stand still before the first dies, so that none starts another one meanwhile.
            number = signal.SIGKILL if found <= stopped else signal.SIGSTOP
            for pid in found if number == signal.SIGKILL else found - stopped:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            stopped = found
            if number == signal.SIGKILL:
                time.sleep(_KILL_PAUSE_SECONDS)

    def _explain(self, kills_before: int) -> None:
        """Why it failed, where that is the sandbox's doing."""
        if self._reason or self._code == 0:
            return
        if self._code in (-signal.SIGKILL, 128 + signal.SIGKILL) and _memory_kills() > kills_before:
            self._reason = "memory"
        disk = os.statvfs(self._folder)
        if disk.f_bavail * disk.f_frsize < _FULL_BYTES:
            self._reason = "disk"

    def _record(self, ends: Ends, seconds: float) -> None:
        (self._folder / "reserve").unlink(missing_ok=True)
        if self._order["merged"]:
            for piece in (self._folder / "in").glob("*"):
                piece.unlink()
            try:
                (self._folder / "out").write_bytes(ends.content)
            except OSError:
                (self._folder / "out").write_bytes(b"")
                self._reason = "disk"
        record = {
            "code": -signal.SIGKILL if self._code is None else self._code,
            "reason": self._reason,
            "timed_out": self._timed_out,
            "cut": ends.cut,
            "seconds": round(seconds, 3),
            "stderr": base64.b64encode(self._errors.content[-_STDERR_BYTES:]).decode(),
        }
        fresh = self._folder / "exit.new"
        fresh.write_text(json.dumps(record))
        fresh.rename(self._folder / "exit")


def _become(order: Json, streams: tuple[int, int, int], parent: int) -> NoReturn:
    """The program, in a session of its own; it dies with the supervisor."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        for each in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(each, signal.SIG_DFL)
        os.nice(order["nice"])
        os.umask(0o022)
        os.chdir(order["cwd"])
        # The sandbox's own environment, in which there is nothing of ours, is what a program there expects.
        os.environ.update(order["env"])
        os.execvp(order["argv"][0], order["argv"])  # noqa: S606 - the program is what this file is for
    except OSError as error:
        os.write(2, f"{order['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def main(folder: Path, alive: int) -> None:
    os.set_inheritable(alive, False)  # noqa: FBT003 - its only argument
    order = folder / "started.json"
    wanted: Json = json.loads(order.read_bytes())
    # It has the program's environment in it.
    order.unlink()
    Supervisor(folder, wanted).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
