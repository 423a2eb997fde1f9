"""How fast a delivery is acknowledged while 200 a second come in."""

import json
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.report import Measure, milliseconds, percentile
from tests.deployment import PROJECT, WEBHOOK_SECRET, Deployment, deployed
from tests.fakes.github.hooks import Outgoing

_AIM_SECONDS = 0.020
_PER_SECOND = 200
_SECONDS = 20
_ISSUES = 40
_COMMAND = "/backspace Please fix this."
_TALK = (
    "I can reproduce this on the main branch.\n\n```python\n>>> add(2, 3)\n-1\n```\n\n"
    "- it was right in the last release\n- `sub` is *not* affected\n\n> does it happen with floats?\n\nYes, it does. "
) * 3


@dataclass(frozen=True)
class Mix:
    name: str
    every: int
    """One delivery in so many is a command; 0: none is even a comment."""


_MIXES = (
    Mix("not for us (issues that are opened)", 0),
    Mix("comments, 2 % with a command", 50),
    Mix("every one a command", 1),
)


def measure() -> Measure:
    rows, worst = [], 0.0
    for mix in _MIXES:
        answers = _answers(mix)
        seconds = [took for _, took in answers]
        slowest = percentile(seconds, 0.99)
        worst = max(worst, slowest)
        statuses = ", ".join(
            f"{count} × {status or 'none'}" for status, count in sorted(Counter(s for s, _ in answers).items())
        )
        shares = [milliseconds(percentile(seconds, share)) for share in (0.5, 0.9, 0.99)]
        rows.append(
            [mix.name, *shares, milliseconds(max(seconds)), "yes" if slowest < _AIM_SECONDS else "no", statuses]
        )
    return Measure(
        f"A delivery acknowledged, at {_PER_SECOND} a second for {_SECONDS} s",
        "under 20 ms at the 99th percentile, of whatever deliveries",
        worst < _AIM_SECONDS,
        ["deliveries", "p50 ms", "p90 ms", "p99 ms", "max ms", "under 20 ms", "answers"],
        rows,
        ["From when each was due, by a client in a process of its own; one run at a time works beside it.\n"],
    )


def _answers(mix: Mix) -> list[tuple[int, float]]:
    with deployed(
        settings={"BACKSPACE_MAX_RUNS": "1", "BACKSPACE_MAX_RUNS_PER_INSTALLATION": "1"}, described=False
    ) as deployment:
        backspace = deployment.backspace
        requests = [_raw(outgoing, backspace.port) for outgoing in _deliveries(deployment, mix)]
        prepared = backspace.home / "requests"
        prepared.write_bytes(pickle.dumps(requests))
        client = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.bench.load",
                "127.0.0.1",
                str(backspace.port),
                str(_PER_SECOND),
                str(prepared),
            ],
            cwd=PROJECT,
            env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            check=True,
            timeout=_SECONDS * 10,
        )
        return [(int(status), float(took)) for status, took in json.loads(client.stdout)]


def _deliveries(deployment: Deployment, mix: Mix) -> Iterator[Outgoing]:
    """Signed deliveries of things that are really there, not sent yet."""
    github, repository = deployment.github, deployment.repository
    github.webhook(None, WEBHOOK_SECRET)
    octo = github.user("octo")
    forge = github._parts.forge
    issues = [deployment.issue(title=f"add() subtracts, {number}") for number in range(_ISSUES)]
    for number in range(_PER_SECOND * _SECONDS):
        if mix.every == 0:
            yield from forge.open_issue(repository, octo, f"Issue {number}", _TALK).deliveries
        else:
            words = _COMMAND if number % mix.every == 0 else _TALK
            yield from forge.comment(repository, issues[number % _ISSUES], octo, words).deliveries


def _raw(outgoing: Outgoing, port: int) -> bytes:
    headers = {"Host": f"127.0.0.1:{port}", **outgoing.headers, "Content-Length": str(len(outgoing.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /webhook HTTP/1.1\r\n{lines}\r\n".encode() + outgoing.body
