"""500 watchers of one run: how soon they see an event, what others wait meanwhile, and what each costs."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

from tests.bench.report import Measure, milliseconds, percentile
from tests.deployment import PROJECT, Backspace, deployed, until

_AIM_SECONDS = 0.250
_OTHERS_AIM_SECONDS = 0.050
_WATCHERS = 500
_RATE = 10
_SECONDS = 30
_OTHERS_RATE = 20
_CLIENT_ENVIRONMENT = {"PATH": "/usr/bin:/bin"}
_EXIT_SECONDS = 20
_NOTE = (
    "From the event's time, which is taken before it is written to the database, until a client in a process of its"
    " own has it. The others are, in turns, the run, the list of runs and whether it is alive, at 20 a second from a"
    " third process. Each watcher's memory is what the server's resident memory grew by when they came, divided.\n"
)


def measure() -> Measure:
    # Nothing is asked of GitHub or a model here; they are what the settings need.
    with deployed(start=False, described=False) as deployment:
        watchers, whole, others, grown_kib = _watched(deployment.backspace)
    slowest, others_slowest = percentile(watchers, 0.99), percentile(others, 0.99)
    return Measure(
        f"{_WATCHERS} watchers of one run, {_RATE} events a second for {_SECONDS} s",
        "an event at its watchers in under 250 ms, other requests answered in under 50 ms, both at the 99th percentile",
        slowest < _AIM_SECONDS and others_slowest < _OTHERS_AIM_SECONDS and whole == _WATCHERS,
        ["", "times", "p50 ms", "p90 ms", "p99 ms", "max ms"],
        [
            [
                name,
                str(len(seconds)),
                *(milliseconds(percentile(seconds, share)) for share in (0.5, 0.9, 0.99)),
                milliseconds(max(seconds)),
            ]
            for name, seconds in (("from the store to a watcher", watchers), ("other requests", others))
        ],
        [f"{whole} of {_WATCHERS} watchers saw every event once, in order; **{grown_kib:.0f} KiB** each. {_NOTE}"],
    )


def _watched(backspace: Backspace) -> tuple[list[float], int, list[float], float]:
    port, home = backspace.port, backspace.home
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.watched", str(_RATE), str(_SECONDS)],
        cwd=PROJECT,
        env=backspace.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(home / "serve.log").open("wb"),
        text=True,
    ) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            run_id = server.stdout.readline().strip()
            backspace.process = server  # type: ignore[assignment]  # its pipes are of text
            until(backspace.ready, what="the server listens")
            before = _resident_kib(server.pid)
            watching = _client("watching", "watch", port, home / "watch", [_get(f"/api/runs/{run_id}/events", port)])
            assert watching.stdout is not None
            assert watching.stdout.readline() == "there\n"
            grown = (_resident_kib(server.pid) - before) / _WATCHERS
            server.stdin.write("go\n")
            server.stdin.flush()
            paths = (f"/api/runs/{run_id}", "/api/runs", "/healthz")
            asked = [_get(paths[number % 3], port) for number in range(_OTHERS_RATE * _SECONDS)]
            prepared = home / "others"
            prepared.write_bytes(pickle.dumps(asked))
            others = subprocess.run(
                [sys.executable, "-m", "tests.bench.load", "127.0.0.1", str(port), str(_OTHERS_RATE), str(prepared)],
                cwd=PROJECT,
                env=_CLIENT_ENVIRONMENT,
                stdout=subprocess.PIPE,
                check=True,
                timeout=_SECONDS * 3,
            )
            seen = json.loads(watching.communicate(timeout=_SECONDS * 3)[0])
        finally:
            server.terminate()
            server.wait(_EXIT_SECONDS)
            backspace.process = None
    answers = [(int(status), float(took)) for status, took in json.loads(others.stdout)]
    assert {status for status, _ in answers} == {200}
    return seen["seconds"], seen["whole"], [took for _, took in answers], grown


def _client(module: str, what: str, port: int, prepared: Path, requests: list[bytes]) -> "subprocess.Popen[str]":
    prepared.write_bytes(pickle.dumps(requests * _WATCHERS))
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{module}", what, str(port), str(prepared)],
        cwd=PROJECT,
        env=_CLIENT_ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )


def _get(path: str, port: int) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
