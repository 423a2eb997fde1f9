"""How long somebody waits for the first answer in the thread, with 20 runs at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.bench.report import Measure, milliseconds, percentile
from tests.deployment import SAMPLE, Deployment, deployed
from tests.fakes.github import Issue, Repository

_AIM_SECONDS = 1.0
_AT_ONCE = 20
_ROUNDS = 5
_RUN_SECONDS = 180.0


def measure() -> Measure:
    """Each round in an installation of its own: GitHub lets one post 20 comments at once, and then one a second."""
    waits: list[float] = []
    rows = []
    caps = {"BACKSPACE_MAX_RUNS": str(_AT_ONCE), "BACKSPACE_MAX_RUNS_PER_INSTALLATION": str(_AT_ONCE)}
    with deployed(settings=caps, described=False) as deployment:
        for number in range(1, _ROUNDS + 1):
            seconds = _round(deployment, _installed(deployment, number))
            waits += seconds
            shares = [milliseconds(percentile(seconds, share)) for share in (0.5, 0.9, 0.99)]
            rows.append([f"round {number}", str(len(seconds)), *shares])
    shares = [milliseconds(percentile(waits, share)) for share in (0.5, 0.9, 0.99)]
    rows.append(["all", str(len(waits)), *shares])
    return Measure(
        f"From delivery to the first answer in the thread, {_AT_ONCE} asked at once, {_AT_ONCE} runs at once",
        "reaction and comment there in under 1 s at the 99th percentile",
        percentile(waits, 0.99) < _AIM_SECONDS,
        ["", "asked", "p50 ms", "p90 ms", "p99 ms"],
        rows,
        ["From before the delivery is sent until the later of the two is at the stand-in; the runs start meanwhile.\n"],
    )


def _installed(deployment: Deployment, number: int) -> Repository:
    github = deployment.github
    repository = github.add_repo(f"round{number}/calc", SAMPLE)
    github.install(f"round{number}", [repository])
    repository.roles = dict(deployment.repository.roles)
    return repository


def _round(deployment: Deployment, repository: Repository) -> list[float]:
    github = deployment.github
    issues = [github.open_issue("octo", f"Issue {n}", "It subtracts.", repo=repository) for n in range(_AT_ONCE)]
    with ThreadPoolExecutor(_AT_ONCE) as people:
        asked = dict(zip(issues, people.map(lambda issue: _ask(deployment, issue), issues), strict=True))

    def over() -> bool:
        return all("rocket" in github.reactions(issue.comments[0], by=github.identity.bot) for issue in issues)

    waits = [_answered(deployment, issue, since) for issue, since in asked.items()]
    github.wait_until(over, "the runs of this round end", _RUN_SECONDS)
    return waits


def _ask(deployment: Deployment, issue: Issue) -> datetime:
    since = datetime.now(UTC)
    delivery = deployment.ask(issue)
    assert delivery.status == 202, delivery.body
    return since


def _answered(deployment: Deployment, issue: Issue, since: datetime) -> float:
    github = deployment.github
    asked = issue.comments[0]

    def answered() -> bool:
        return bool(asked.reactions and github.bot_comments(issue))

    github.wait_until(answered, f"an answer in issue {issue.number}", _RUN_SECONDS)
    (comment,) = github.bot_comments(issue)
    return (max(asked.reactions[0].created_at, comment.created_at) - since).total_seconds()
