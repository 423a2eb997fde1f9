"""Many runs while Daytona does everything that it is known to do wrong; what must be true of them afterwards."""

import random  # noqa: TID251 -- with a seed: the same weather each time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.deployment import Deployment, deployed, until
from tests.fakes.daytona import Fault
from tests.loopback import LOOPBACK

_EXECUTE = "POST /toolbox/*/process/execute"
_UPLOAD = "POST /toolbox/*/files/bulk-upload"
_DOWNLOAD = "GET /toolbox/*/files/download"
_CREATE = "POST /sandbox"
_AT_ONCE = 4
_SECONDS_A_RUN = 60.0
_REAPED_SECONDS = 120.0


@dataclass(frozen=True)
class Mishap:
    """`skip` at most that many requests of the kind before it strikes."""

    fault: Fault
    match: str | None = None
    skip: int = 0
    lasting_seconds: float | None = None


MISHAPS = (
    Mishap(Fault.SERVER_ERROR_AFTER, _CREATE),
    Mishap(Fault.DROP_AFTER, _CREATE),
    Mishap(Fault.DROP, _CREATE),
    Mishap(Fault.STARTS_LATE),
    Mishap(Fault.TOO_MANY, _CREATE),
    Mishap(Fault.TOO_MANY, "DELETE /sandbox/*"),
    Mishap(Fault.SERVER_ERROR, "DELETE /sandbox/*"),
    Mishap(Fault.DROP_AFTER, "DELETE /sandbox/*"),
    Mishap(Fault.BAD_GATEWAY, lasting_seconds=1.0),
    Mishap(Fault.BAD_GATEWAY_AFTER, _EXECUTE, skip=8),
    Mishap(Fault.DROP_AFTER, _EXECUTE, skip=8),
    Mishap(Fault.DROP, _EXECUTE, skip=8),
    Mishap(Fault.DROP_AFTER, _UPLOAD, skip=6),
    Mishap(Fault.BAD_GATEWAY_AFTER, _UPLOAD, skip=6),
    Mishap(Fault.DROP, _DOWNLOAD, skip=8),
    Mishap(Fault.RANGE_IGNORED, skip=8),
    Mishap(Fault.STOPS, _EXECUTE, skip=6),
    Mishap(Fault.STOPS, _DOWNLOAD, skip=8),
)


@dataclass(frozen=True)
class Weathered:
    """What came of it."""

    outcomes: Mapping[str, int]
    struck: Mapping[str, int]
    made: int
    """Sandboxes that ever were."""
    problems: Sequence[str]


def weather(runs: int, seed: int) -> Weathered:
    """Raises AssertionError when a run does not end, or a sandbox is left."""
    settings = {
        "BACKSPACE_MAX_RUNS": str(_AT_ONCE),
        "BACKSPACE_MAX_RUNS_PER_INSTALLATION": str(_AT_ONCE),
        "BACKSPACE_DAILY_BUDGET_USD": "1000",
    }
    with deployed(sandbox="daytona", settings=settings, described=False) as deployment:
        assert deployment.daytona is not None
        chance = random.Random(seed)
        began = [_begin(deployment, chance) for _ in range(runs)]
        ended = [deployment.finished(run_id, seconds=_SECONDS_A_RUN * runs / _AT_ONCE) for run_id in began]
        until(lambda: deployment.sandboxes() == [], seconds=_REAPED_SECONDS, what="no sandbox is left")
        pulls = [pull.number for pull in deployment.github.pulls()]
        return Weathered(
            Counter(str(run["outcome"]) for run in ended),
            Counter(plan.fault.name for plan in deployment.daytona.faults.struck),
            deployment.daytona.created,
            [problem for run in ended for problem in _problems(deployment, run, pulls)],
        )


def _begin(deployment: Deployment, chance: random.Random) -> str:
    """A run whose sandboxes meet with two mishaps."""
    assert deployment.daytona is not None
    run_id = deployment.run_id(deployment.ask(deployment.issue("fix-calc")))
    for mishap in chance.sample(MISHAPS, 2):
        deployment.daytona.fail(
            mishap.fault,
            match=mishap.match,
            sandbox=f"*{run_id}*",
            skip=chance.randint(0, mishap.skip),
            lasting_seconds=mishap.lasting_seconds,
        )
    return run_id


def _problems(deployment: Deployment, run: Mapping[str, Any], pulls: Sequence[int]) -> list[str]:
    run_id = run["request_id"]
    numbers = _numbers(f"{deployment.backspace.url}/api/runs/{run_id}/events")
    types = Counter(event["type"] for event in deployment.events(run_id))
    found = []
    if run["outcome"] != "pull_request":
        found.append(f"{run_id} ended with {run['outcome']}")
    if numbers != list(range(1, len(numbers) + 1)):
        found.append(f"{run_id} has a gap in its events, or one twice: {numbers}")
    found += [
        f"{run_id} has {types[name]} x {name}" for name in ("start", "complete", "pr_created") if types[name] != 1
    ]
    if run["pr_url"] and pulls.count(int(run["pr_url"].rpartition("/")[2])) != 1:
        found.append(f"{run_id} has no pull request of its own")
    return found


def _numbers(url: str) -> list[int]:
    answer: httpx.Response = LOOPBACK.get(url, timeout=20)
    return [int(line.removeprefix("id: ")) for line in answer.text.splitlines() if line.startswith("id: ")]
