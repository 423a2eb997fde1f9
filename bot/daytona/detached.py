"""Runs inside a Daytona sandbox: one program, detached from the call that starts it, and what became of it.

`python3 -I -S detached.py start FOLDER ORDER SECONDS INLINE` starts what FOLDER/ORDER.json asks for, unless FOLDER's
program was started before, and then does as `wait`, which waits so many seconds for its end. `kill` ends it. Each
prints one line of JSON: {"state": "never" | "running" | "ended" | "dead", "order", "chunks", "closed", "exit",
"output"}; `dead` is a supervisor that left no exit behind, `output` is base64 where it has at most INLINE bytes.

In FOLDER: `order` is a link that names the order that was started, made once; `alive` is locked while the supervisor
lives; `pid` has its number and the program's; `in/<n>-<bytes>` is the n-th piece of stdin, and there once it has that
size; `in/<n>-end` closes stdin; `out` is stdout; `exit` comes last and whole. Standard library only.
"""

import base64
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

Json = dict[str, Any]

_RACE_SECONDS = 0.02
_PID_SECONDS = 5.0


def pieces(folder: Path) -> Iterator[Path | None]:
    """The pieces of stdin that are there, in order; None for its end."""
    number = 0
    while True:
        if (folder / "in" / f"{number}-end").exists():
            yield None
            return
        whole = [
            path
            for path in (folder / "in").glob(f"{number}-*")
            if path.name.partition("-")[2] == str(path.stat().st_size)
        ]
        if not whole:
            return
        yield whole[0]
        number += 1


class _TimeIsUp(Exception):
    pass


def _locked(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        return False
    return True


def _ended(alive: int, seconds: float) -> bool:
    """Whether the supervisor has ended, after at most so many seconds."""
    if seconds <= 0:
        return _locked(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def late(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _TimeIsUp

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return _locked(alive, fcntl.LOCK_SH)
    except _TimeIsUp:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def wait(folder: Path, seconds: float, inline_bytes: int) -> Json:
    """What became of the folder's program, after at most so many seconds."""
    try:
        alive = os.open(folder / "alive", os.O_RDWR)
    except FileNotFoundError:
        return {"state": "never"}
    ended = _ended(alive, seconds)
    try:
        order = str((folder / "order").readlink())
    except FileNotFoundError:
        return {"state": "never" if ended else "running"}
    finally:
        os.close(alive)
    there = list(pieces(folder))
    answer: Json = {
        "state": "running",
        "order": order,
        "chunks": sum(piece is not None for piece in there),
        "closed": None in there,
    }
    if ended:
        answer["state"] = "dead"
        with contextlib.suppress(FileNotFoundError):
            answer |= {"exit": json.loads((folder / "exit").read_bytes()), "state": "ended"}
            if (folder / "out").stat().st_size <= inline_bytes:
                answer["output"] = base64.b64encode((folder / "out").read_bytes()).decode()
    return answer


def start(folder: Path, order: str, seconds: float, inline_bytes: int) -> Json:
    """Only the first order of a folder is ever started; the answer names it."""
    alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _locked(alive, fcntl.LOCK_EX | fcntl.LOCK_NB):
            if (folder / "order").is_symlink():
                return wait(folder, seconds, inline_bytes)
            # Somebody else is about to start it, or has just asked.
            time.sleep(_RACE_SECONDS)
        if not (folder / "order").is_symlink():
            (folder / "out").touch()
            (folder / f"{order}.json").rename(folder / "started.json")
            (folder / "order").symlink_to(order)
            if not os.fork():
                _supervise(folder, alive)
    finally:
        # The lock is of the open file, which the supervisor has alone now.
        os.close(alive)
    return wait(folder, seconds, inline_bytes)


def _supervise(folder: Path, alive: int) -> NoReturn:
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            # Whoever started us waits for the end of these.
            os.dup2(nothing, number)
        os.set_inheritable(alive, True)  # noqa: FBT003 - its only argument
        words = [sys.executable, "-I", "-S", str(Path(__file__).with_name("supervisor.py"))]
        os.execv(sys.executable, [*words, str(folder), str(alive)])  # noqa: S606 - no shell is wanted
    finally:
        os._exit(127)


def kill(folder: Path, seconds: float, inline_bytes: int) -> Json:
    """End all of it; a supervisor that does not heed this within the time is killed itself."""
    answer = wait(folder, 0, inline_bytes)
    if answer["state"] != "running":
        return answer
    supervisor, program = _pids(folder)
    _signal(supervisor, signal.SIGTERM)
    answer = wait(folder, seconds, inline_bytes)
    if answer["state"] != "running":
        return answer
    _signal(supervisor, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program, signal.SIGKILL)
    return wait(folder, seconds, inline_bytes)


def _pids(folder: Path) -> tuple[int, int]:
    end = time.monotonic() + _PID_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            supervisor, program = (folder / "pid").read_text().split()
            return int(supervisor), int(program)
        time.sleep(_RACE_SECONDS)
    raise SystemExit("the program's number is missing")


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def main(arguments: list[str]) -> Json:
    match arguments:
        case ["start", folder, order, seconds, inline]:
            return start(Path(folder), order, float(seconds), int(inline))
        case ["wait", folder, seconds, inline]:
            return wait(Path(folder), float(seconds), int(inline))
        case ["kill", folder, seconds, inline]:
            return kill(Path(folder), float(seconds), int(inline))
    raise SystemExit("detached: start FOLDER ORDER SECONDS INLINE | wait or kill FOLDER SECONDS INLINE")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])) + "\n")
