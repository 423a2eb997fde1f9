"""What becomes of a pull request of ours: its checks fail, it is merged, closed, opened again."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deployment import SAMPLE, Deployment, deployed, until
from tests.fakes.github import Delivery, Issue
from tests.fakes.model.state import Gate
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow

_ONE_ROUND = {**SAMPLE, ".github/backspace.yml": "checks:\n  - 'true'\nci_fix: 1\n"}


@pytest.fixture(scope="module")
def mending() -> Iterator[Deployment]:
    """A repository that wants one round for failing checks."""
    with deployed(files=_ONE_ROUND, scenario="shell") as deployment:
        yield deployment


def published(deployment: Deployment, command: str = "echo one >one.txt") -> tuple[Issue, str]:
    """A pull request of ours, and its head."""
    asked = deployment.ask(deployment.issue("shell"), f"/backspace Please\n$ {command}")
    run = deployment.finished(deployment.run_id(asked))
    assert run["outcome"] == "pull_request", deployment.backspace.log[-4000:]
    pull = deployment.github.pulls()[-1]
    assert run["pull_request"] == {"number": pull.number, "url": run["pr_url"], "state": "open"}
    return pull, head(pull)


def head(pull: Issue) -> str:
    assert pull.pull is not None
    return pull.pull.head_sha


def fails(deployment: Deployment, sha: str, name: str = "tests", summary: str = "", log: str = "") -> Delivery:
    return deployment.github.check_run(sha, name, "failure", {"title": name, "summary": summary}, log=log)


def settled(deployment: Deployment, delivery: Delivery) -> None:
    """Wait until the log says what became of the failing check."""
    check = delivery.outgoing.payload["check_run"]["id"]
    assert delivery.status == 202
    until(
        lambda: any(f'"check": {check}' in line for line in deployment.backspace.log.splitlines()),
        what=f"check {check} is dealt with",
    )


def run_of(deployment: Deployment, pull: Issue, number: int = 0) -> dict[str, Any]:
    """The run whose comment is that one of the pull request's, once it has ended."""
    until(lambda: len(deployment.github.bot_comments(pull)) > number, what="the run has its comment")
    first_line = deployment.github.bot_comments(pull)[number].body.splitlines()[0]
    return deployment.finished(first_line.partition("backspace:run=")[2].split()[0])


def test_a_failing_check_is_mended_on_the_same_branch_once(mending: Deployment) -> None:
    github = mending.github
    pull, first = published(mending)
    before = len(github.pulls())
    github.installation(mending.installation).permissions["actions"] = "read"
    log = "2026-11-22T10:00:00.0000000Z AssertionError: one.txt is not enough\n"
    assert fails(mending, first, "tests (3.12)", "$ echo two >two.txt", log).status == 202

    run = run_of(mending, pull)
    assert (run["outcome"], run["trigger"], run["actor"]) == ("commits_pushed", "checks", "octo")
    assert (run["branch"], run["pr_url"]) == (pull.pull.head_ref if pull.pull else "", run["pull_request"]["url"])
    assert len(github.pulls()) == before
    assert github.file("two.txt", str(run["branch"])) == b"two\n"
    assert [commit.sha for commit in github.commits(pull)] == [first, head(pull)]
    told = next(request.text for request in mending.model.requests if "two.txt" in request.text)
    assert "tests (3.12)" in told
    assert "AssertionError: one.txt is not enough" in told

    # Its own commit fails, too: the one round is over. And the first commit is not the last any more.
    settled(mending, fails(mending, head(pull)))
    settled(mending, fails(mending, first, "lint"))
    assert len(github.bot_comments(pull)) == 1
    assert len(github.commits(pull)) == 2


def test_checks_that_fail_on_one_commit_are_one_run(mending: Deployment) -> None:
    pull, sha = published(mending, "echo many >many.txt")
    for name in ("lint", "types", "tests"):
        settled(mending, fails(mending, sha, name, f"$ echo {name} >{name}.txt"))
    run = run_of(mending, pull)
    assert run["outcome"] == "commits_pushed", mending.backspace.log[-6000:]
    assert len(mending.github.bot_comments(pull)) == 1
    assert len(mending.github.commits(pull)) == 2


def test_a_check_that_fails_on_somebody_elses_commit_is_theirs(mending: Deployment) -> None:
    pull, sha = published(mending, "echo ours >ours.txt")
    assert pull.pull is not None
    theirs = mending.github.push(pull.pull.head_ref, {"theirs.txt": "theirs\n"}, "lead")
    assert head(pull) == theirs
    settled(mending, fails(mending, theirs))
    # Nor is ours the last one now.
    settled(mending, fails(mending, sha))
    assert mending.github.bot_comments(pull) == []
    assert head(pull) == theirs


def test_a_branch_that_moves_before_the_turn_of_the_check_is_left_as_it_is(mending: Deployment) -> None:
    github = mending.github
    pull, sha = published(mending, "echo first >first.txt")
    gate = Gate("shell", 0)
    mending.model.hold(gate)
    asked = mending.ask(pull, "/backspace Please\n$ echo second >second.txt")
    until(lambda: gate in mending.model.waiting, what="the agent is at work")
    settled(mending, fails(mending, sha, summary="$ echo third >third.txt"))
    mending.model.release(gate)
    assert mending.finished(mending.run_id(asked))["outcome"] == "commits_pushed"
    moved = head(pull)
    assert run_of(mending, pull, 1)["outcome"] == "failed"
    assert "moved on since the check failed" in github.bot_comments(pull)[1].body
    assert head(pull) == moved


def test_a_check_that_fails_on_a_closed_pull_request_is_left(mending: Deployment) -> None:
    pull, sha = published(mending, "echo closed >closed.txt")
    assert mending.github.close_pull(pull, "octo").status == 202
    settled(mending, fails(mending, sha))
    assert mending.github.bot_comments(pull) == []


def test_without_the_setting_failing_checks_are_left_to_people(running: Deployment) -> None:
    pull, sha = published(running)
    settled(running, fails(running, sha))
    assert running.github.bot_comments(pull) == []
    assert head(pull) == sha


@pytest.mark.parametrize("conclusion", ["success", "cancelled", "skipped", "neutral"])
def test_only_failures_are_handed_back(mending: Deployment, conclusion: str) -> None:
    sha = mending.github.branches()["main"]
    assert mending.github.check_run(sha, "tests", conclusion).status == 200


def test_a_run_says_what_became_of_its_pull_request(running: Deployment) -> None:
    github = running.github
    asked = running.ask(running.issue("shell"), "/backspace Please\n$ echo kept >kept.txt")
    run_id = running.run_id(asked)
    number = running.finished(run_id)["pull_request"]["number"]
    pull = github.issue(number)

    def says(state: str) -> bool:
        page = LOOPBACK.get(f"{running.backspace.url}/runs/{run_id}", timeout=10).text
        return running.run(run_id)["pull_request"]["state"] == state and f">{state}</span>" in page

    assert says("open")
    assert github.close_pull(pull, "lead").status == 202
    until(lambda: says("closed"), what="the run says that it was closed")
    assert github.reopen_pull(pull, "lead").status == 202
    until(lambda: says("open"), what="the run says that it was opened again")
    assert github.close_pull(pull, "lead", merged=True).status == 202
    until(lambda: says("merged"), what="the run says that it was merged")
    assert github.file("kept.txt", "main") == b"kept\n"
