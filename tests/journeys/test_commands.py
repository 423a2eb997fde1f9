"""What people say to a run in its thread."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def holding(deployment: Deployment) -> Iterator[Gate]:
    """The agent of `fix-calc` waits before its fourth answer: it has changed the tree by then."""
    gate = Gate("fix-calc", 3)
    deployment.model.hold(gate)
    yield gate
    deployment.model.release(gate)


@pytest.fixture
def held(running: Deployment) -> Iterator[Gate]:
    with holding(running) as gate:
        yield gate


@pytest.fixture
def held_anywhere(anywhere: Deployment) -> Iterator[Gate]:
    with holding(anywhere) as gate:
        yield gate


def test_stop_ends_the_run_keeps_its_work_and_retry_goes_on_from_there(
    anywhere: Deployment, held_anywhere: Gate
) -> None:
    github = anywhere.github
    issue = anywhere.issue("fix-calc")
    asked = anywhere.ask(issue)
    run_id = anywhere.run_id(asked)
    until(lambda: held_anywhere in anywhere.model.waiting, what="the agent is at work")
    stop = anywhere.ask(issue, "/backspace stop", user="lead")
    assert stop.status == 202
    run = anywhere.finished(run_id)
    assert run["outcome"] == "stopped"
    (comment,) = github.bot_comments(issue)
    assert "**Stopped, as asked**" in comment.body
    assert f"`{run['branch']}`" in comment.body
    assert b"return a + b" in (github.file("calc.py", str(run["branch"])) or b"")
    _, said = github.find_comment(stop.comment_id)
    assert github.reactions(said, by=github.identity.bot) == ["+1"]

    anywhere.model.release(held_anywhere)
    retry = anywhere.ask(issue, "/backspace retry")
    assert retry.status == 202
    until(lambda: len(github.bot_comments(issue)) == 2, what="the second run has its comment")
    second = github.bot_comments(issue)[1]
    until(lambda: "**Opened a pull request**" in second.body, what="the second run opens a pull request")
    pull = github.pulls()[-1]
    assert "+    return a + b" in github.diff(pull)
    shown = [request.text for request in anywhere.model.requests if request.scenario == "fix-calc"]
    assert "The work was interrupted and goes on now" in shown[-1]


def test_a_run_that_waits_is_stopped_at_once(running: Deployment, held: Gate) -> None:
    issue = running.issue("fix-calc")
    first = running.ask(issue)
    until(lambda: held in running.model.waiting, what="the first is at work")
    second = running.ask(issue, "/backspace and then this")
    until(lambda: len(running.github.bot_comments(issue)) == 2, what="both are answered")
    until(lambda: "ahead" in running.github.bot_comments(issue)[1].body, what="the second waits")
    running.ask(issue, "/backspace stop")
    assert running.finished(running.run_id(second))["outcome"] == "stopped"
    assert running.run(running.run_id(first))["outcome"] is None
    running.model.release(held)
    assert running.finished(running.run_id(first))["outcome"] == "pull_request"


def test_status_and_help_answer_in_the_thread(running: Deployment, held: Gate) -> None:
    issue = running.issue("fix-calc")
    asked = running.ask(issue)
    until(lambda: held in running.model.waiting, what="the agent is at work")
    running.ask(issue, "/backspace status")
    until(lambda: len(running.github.bot_comments(issue)) == 2, what="the status is told")
    status = running.github.bot_comments(issue)[1].body
    assert "**Write the change**" in status
    assert status.startswith(f"<!-- backspace:run={running.run_id(asked)} -->")
    running.ask(issue, "/backspace help")
    until(lambda: len(running.github.bot_comments(issue)) == 3, what="help is given")
    assert "`/backspace stop`" in running.github.bot_comments(issue)[2].body
    running.model.release(held)
    assert running.finished(running.run_id(asked))["outcome"] == "pull_request"


def test_a_thread_without_runs_says_so(running: Deployment) -> None:
    issue = running.issue()
    running.ask(issue, "/backspace stop")
    until(lambda: len(running.github.bot_comments(issue)) == 1, what="an answer")
    assert "There is no run in this thread yet" in running.github.bot_comments(issue)[0].body


def test_who_may_not_write_can_stop_nothing(running: Deployment, held: Gate) -> None:
    issue = running.issue("fix-calc")
    asked = running.ask(issue)
    until(lambda: held in running.model.waiting, what="the agent is at work")
    running.ask(issue, "/backspace stop", user="reader")
    until(lambda: len(running.github.bot_comments(issue)) == 2, what="the refusal")
    assert "`not-authorised`" in running.github.bot_comments(issue)[1].body
    running.model.release(held)
    assert running.finished(running.run_id(asked))["outcome"] == "pull_request"


def test_stop_while_the_checks_run_keeps_the_work(running: Deployment) -> None:
    config = "checks:\n  - test ! -e ../slow && grep -q 'a - b' calc.py || sleep 60\n"
    deployment = running.elsewhere({"calc.py": "def add(a, b):\n    return a - b\n", ".github/backspace.yml": config})
    issue = deployment.issue("fix-calc")
    asked = deployment.ask(issue)
    run_id = deployment.run_id(asked)
    until(
        lambda: "**Run the checks**" in "".join(c.body for c in deployment.github.bot_comments(issue)),
        what="the checks run",
    )
    deployment.ask(issue, "/backspace stop")
    run = deployment.finished(run_id, seconds=20)
    assert run["outcome"] == "stopped"
    assert b"return a + b" in deployment.branch_file("calc.py", run["branch"])


def test_stop_while_the_setup_runs_ends_at_once(running: Deployment) -> None:
    config = "setup:\n  - sleep 300\n"
    deployment = running.elsewhere({"calc.py": "", ".github/backspace.yml": config})
    issue = deployment.issue("no-changes")
    asked = deployment.ask(issue)
    until(
        lambda: "**Prepare the sandbox**" in "".join(c.body for c in deployment.github.bot_comments(issue)),
        what="the setup is under way",
    )
    deployment.ask(issue, "/backspace stop")
    assert deployment.finished(deployment.run_id(asked), seconds=30)["outcome"] == "stopped"
