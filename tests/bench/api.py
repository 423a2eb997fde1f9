"""How soon `POST /api/code` answers with its first event, 50 at once."""

import json
import pickle
import subprocess
import sys

from tests.bench.report import Measure, milliseconds, percentile
from tests.deployment import PROJECT, WEBHOOK_SECRET, Backspace, deployed, until
from tests.fakes.model.state import Gate

_AIM_SECONDS = 0.100
_AT_ONCE = 50
_ROUNDS = 6
_PATIENCE_SECONDS = 120.0
_HOW = (
    "With an API key, from when a request is sent on an open connection until its first event is there. The runs are"
    " checked and queued meanwhile; one that began before is at work, and its agent waits for the model.\n"
)


def measure() -> Measure:
    with deployed(
        settings={"BACKSPACE_MAX_RUNS": "1", "BACKSPACE_MAX_RUNS_PER_INSTALLATION": "1"}, described=False
    ) as deployment:
        deployment.github.webhook(None, WEBHOOK_SECRET)
        backspace = deployment.backspace
        key = _key(backspace)
        url = f"{deployment.github.web_url}/{deployment.repository.full_name}"
        request = _request(backspace.port, key, url)
        gate = Gate("fix-calc", 0)
        deployment.model.hold(gate)
        _first_bytes(backspace, [request])
        until(lambda: gate in deployment.model.waiting, what="the agent waits for the model")
        rounds = [_round(backspace, request, number) for number in range(1, _ROUNDS + 1)]
    waits = [wait for waits in rounds for wait in waits]
    named = [*((f"round {number}", waits) for number, waits in enumerate(rounds, 1)), ("all", waits)]
    return Measure(
        f"The first event of `POST /api/code`, {_AT_ONCE} at once",
        "under 100 ms at the 99th percentile",
        percentile(waits, 0.99) < _AIM_SECONDS,
        ["", "asked", "p50 ms", "p90 ms", "p99 ms", "max ms"],
        [
            [
                name,
                str(len(these)),
                *(milliseconds(percentile(these, share)) for share in (0.5, 0.9, 0.99)),
                milliseconds(max(these)),
            ]
            for name, these in named
        ],
        [_HOW],
    )


def _round(backspace: Backspace, request: bytes, number: int) -> list[float]:
    """Ends when the runs that were asked for so far have been let in or refused."""
    waits = _first_bytes(backspace, [request] * _AT_ONCE)
    asked = 1 + number * _AT_ONCE
    until(lambda: _answered(backspace) >= asked, seconds=_PATIENCE_SECONDS, what=f"{asked} runs are answered")
    return waits


def _key(backspace: Backspace) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "bot", "keys", "add", "--name", "bench", "--repo", "*/*", "--per-hour", "100000"],
        cwd=backspace.home,
        env=backspace.environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return made.stdout.strip()


def _request(port: int, key: str, url: str) -> bytes:
    body = json.dumps({"repo_url": url, "prompt": "Please fix this."}).encode()
    lines = (
        "POST /api/code HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {key}",
        "Accept: text/event-stream",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


def _first_bytes(backspace: Backspace, requests: list[bytes]) -> list[float]:
    prepared = backspace.home / "requests"
    prepared.write_bytes(pickle.dumps(requests))
    client = subprocess.run(
        [sys.executable, "-m", "tests.bench.watching", "first-bytes", str(backspace.port), str(prepared)],
        cwd=PROJECT,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=_PATIENCE_SECONDS,
    )
    return [float(wait) for wait in json.loads(client.stdout)["seconds"]]


def _answered(backspace: Backspace) -> int:
    return backspace.log.count('"run.answered"')
