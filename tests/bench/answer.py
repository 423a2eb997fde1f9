"""How long somebody waits for the first answer in the thread, with 20 runs at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from tests.bench.report import Measure, milliseconds, percentile
from tests.deployment import SAMPLE, Deployment, deployed, processes_of, until
from tests.fakes.github import Issue

_AIM_SECONDS = 1.0
_AT_ONCE = 20
_ROUNDS = 5
_WAIT_SECONDS = 60.0
_CAPS = {"BACKSPACE_MAX_RUNS": str(_AT_ONCE), "BACKSPACE_MAX_RUNS_PER_INSTALLATION": str(_AT_ONCE)}

_HOW = (
    "From before the delivery is sent until the later of the two is at the stand-in. Each round has a server of its"
    " own, which has done one run before; the runs of those who are answered start meanwhile.\n"
)


def measure() -> Measure:
    rounds = [_round() for _ in range(_ROUNDS)]
    waits = [wait for waits in rounds for wait in waits]
    named = [*((f"round {number}", waits) for number, waits in enumerate(rounds, 1)), ("all", waits)]
    return Measure(
        f"From delivery to the first answer in the thread, {_AT_ONCE} asked at once, {_AT_ONCE} runs at once",
        "reaction and comment there in under 1 s at the 99th percentile",
        percentile(waits, 0.99) < _AIM_SECONDS,
        ["", "asked", "p50 ms", "p90 ms", "p99 ms"],
        [
            [name, str(len(these)), *(milliseconds(percentile(these, share)) for share in (0.5, 0.9, 0.99))]
            for name, these in named
        ],
        [_HOW],
    )


def _round() -> list[float]:
    with deployed(settings=_CAPS, described=False) as deployment:
        github = deployment.github
        first = deployment.issue("no-changes")
        _ask(deployment, first)
        github.wait_until(lambda: _reacted(deployment, first, "rocket"), "the first run ends", _WAIT_SECONDS)
        # An installation of its own: what the first run wrote takes nothing from its limits.
        repository = github.add_repo("crowd/calc", SAMPLE)
        repository.roles = dict(deployment.repository.roles)
        github.install("crowd", [repository])
        issues = [github.open_issue("octo", f"Issue {n}", "It subtracts.", repo=repository) for n in range(_AT_ONCE)]
        with ThreadPoolExecutor(_AT_ONCE) as people:
            since = list(people.map(lambda issue: _ask(deployment, issue), issues))
        waits = [_answered(deployment, issue, at) for issue, at in zip(issues, since, strict=True)]
        deployment.backspace.stop()
        home = deployment.backspace.home
        until(lambda: not processes_of(home), what="the interrupted runs' programs are dead")
        return waits


def _reacted(deployment: Deployment, issue: Issue, content: str) -> bool:
    return content in deployment.github.reactions(issue.comments[0], by=deployment.github.identity.bot)


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

    github.wait_until(answered, f"an answer in issue {issue.number}", _WAIT_SECONDS)
    (comment,) = github.bot_comments(issue)
    return (max(asked.reactions[0].created_at, comment.created_at) - since).total_seconds()
