"""Runs inside a Daytona sandbox: tries what must and what must not be reachable from there.

`python3 -I -S probe.py URL_SECONDS TARGET_SECONDS URL TARGET...` prints one line of JSON: {"url": "" or what went
wrong, "reached": the targets that could be}. A target is HOST:PORT to connect to, or a NAME to look up. Standard
library only.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import urllib.request


def fetch(url: str, seconds: float) -> str:
    """Empty when it answers."""
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 - the operator's own address
            answer.read(1)
    # What an unreachable or strange server leads to is not only OSError.
    except Exception as error:  # noqa: BLE001 - its words are the finding
        return f"{type(error).__name__}: {error}"
    return ""


def reaches(target: str, seconds: float) -> bool:
    """A connection counts before a byte is sent."""
    host, _, port = target.rpartition(":")
    with contextlib.suppress(OSError):
        if not host:
            return bool(socket.getaddrinfo(port, 443))
        socket.create_connection((host, int(port)), timeout=seconds).close()
        return True
    return False


def main(url_seconds: float, target_seconds: float, url: str, targets: list[str]) -> None:
    """All at once; what has no result in time is not reached."""
    reached: set[str] = set()
    told = ["it did not answer in time"]

    def ask() -> None:
        told[0] = fetch(url, url_seconds)

    def attempt(target: str) -> None:
        if reaches(target, target_seconds):
            reached.add(target)

    asking = threading.Thread(target=ask, daemon=True)
    attempts = [threading.Thread(target=attempt, args=(target,), daemon=True) for target in targets]
    for thread in (asking, *attempts):
        thread.start()
    end = time.monotonic() + target_seconds
    for thread in attempts:
        # Looking a name up has no timeout of its own.
        thread.join(max(0.0, end - time.monotonic()))
    asking.join(url_seconds)
    sys.stdout.write(json.dumps({"url": told[0], "reached": sorted(reached)}) + "\n")
    sys.stdout.flush()
    # A thread that still waits must not hold up the end.
    os._exit(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:])
