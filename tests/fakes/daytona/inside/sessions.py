"""Sessions: a shell that lives on, and per command a script around it that labels each line of output.

The script is what makes their habits: stdin that never ends, a line at a time, an exit code that waits for children.
"""

# Files by os.path: importing pathlib takes longer than all the rest of a start.
# ruff: noqa: PTH103, PTH110, PTH118

import contextlib
import os
import signal
import threading
import time
from typing import Any

from .processes import Processes

Json = dict[str, Any]
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.02
_SCRIPT = """{{
d={folder}; i="$d/input.pipe"; o="$d/out.pipe"; e="$d/err.pipe"
mkfifo "$i" "$o" "$e"
( while IFS= read -r l || [ -n "$l" ]; do printf '\\001\\001\\001%s\\n' "$l"; done <"$o" ) >>"$d/output.log" & r1=$!
( while IFS= read -r l || [ -n "$l" ]; do printf '\\002\\002\\002%s\\n' "$l"; done <"$e" ) >>"$d/output.log" & r2=$!
sleep 3600 >"$i" &
{{
{command}
}} <"$i" >"$o" 2>"$e"
c=$?
wait "$r1" "$r2"
rm -f "$i" "$o" "$e"
echo "$c" >"$d/exit.tmp" && mv "$d/exit.tmp" "$d/exit_code"
}}
"""


class Sessions:
    def __init__(self, processes: Processes, home: str) -> None:
        self._processes = processes
        self._root = os.path.join(home, ".daytona", "sessions")
        self._lock = threading.Lock()
        self._shells: dict[str, tuple[int, int, threading.Event]] = {}
        """Process, the descriptor of its stdin, and whether it has ended."""

    def create(self, name: str) -> Json:
        with self._lock:
            if name in self._shells:
                return {"error": "exists", "words": "session already exists"}
            reading, writing = os.pipe()
            nowhere = os.open("/dev/null", os.O_WRONLY)
            try:
                pid, ended, _ = self._processes.start({}, reading, nowhere)
            finally:
                os.close(reading)
                os.close(nowhere)
            self._shells[name] = pid, writing, ended
        return {}

    def run(self, name: str, number: str, command: str, *, wait: bool) -> Json:
        """The folder of the command's log; with `wait`, once its exit code is there."""
        shell = self._shells.get(name)
        if shell is None:
            return {"error": "missing", "words": "session not found"}
        folder = os.path.join(self._root, name, number)
        os.makedirs(folder)
        os.close(os.open(os.path.join(folder, "output.log"), os.O_WRONLY | os.O_CREAT, 0o644))
        _, stdin, ended = shell
        try:
            os.write(stdin, _SCRIPT.format(folder=folder, command=command).encode())
        except BrokenPipeError:
            return {"error": "broken", "words": "write |1: broken pipe"}
        while wait and not ended.is_set() and not os.path.exists(os.path.join(folder, "exit_code")):
            time.sleep(_POLL_SECONDS)
        return {"folder": folder}

    def delete(self, name: str) -> Json:
        """Its tree is asked to end, then made to."""
        with self._lock:
            shell = self._shells.pop(name, None)
        if shell is None:
            return {"error": "missing", "words": "session not found"}
        pid, stdin, ended = shell
        os.close(stdin)
        tree = _tree(pid)
        _signal(tree, signal.SIGTERM)
        end = time.monotonic() + _GRACE_SECONDS
        while any(os.path.exists(f"/proc/{one}") for one in tree) and time.monotonic() < end:
            ended.wait(_POLL_SECONDS)
        _signal(tree, signal.SIGKILL)
        return {}


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - see above
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat") as file:  # noqa: PTH123 - see above
            parent = int(file.read().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found
