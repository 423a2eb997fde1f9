"""The app is installed, given more repositories, suspended, removed."""

from collections.abc import Callable, Iterator

import pytest

from tests.deployment import Deployment, deployed, until
from tests.fakes.github import Fault, Issue
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


@pytest.fixture
def running(served: Deployment) -> Iterator[Deployment]:
    """An organisation of its own for each: an app that was removed is of no use to the next story."""
    yield served.elsewhere_installed()
    served.github.faults.clear()
    served.model.reset()


def test_the_label_is_made_in_each_repository_and_nothing_else_is_posted(running: Deployment) -> None:
    github = running.github
    own = github.add_repo(f"{running.repository.owner.login}/own", {".github/backspace.yml": "label: robot\n"})
    there = github.add_repo(f"{running.repository.owner.login}/there", {"README.md": "# There\n"})
    github.change_repositories(running.installation, "boss", add=[own])
    github.tell_installed(running.installation, "boss")
    until(lambda: "backspace" in running.repository.labels, what="the label is made")
    until(lambda: "robot" in own.labels, what="the repository's own label is made")
    assert "backspace" not in there.labels
    assert "backspace" not in own.labels

    github.change_repositories(running.installation, "boss", add=[there])
    until(lambda: "backspace" in there.labels, what="the label is made")
    assert not any(repository.all_threads for repository in (own, there, running.repository))


def test_a_label_of_the_repositorys_own_starts_a_run_and_the_servers_does_not(running: Deployment) -> None:
    github = running.github
    github.commit(running.repository, "main", {".github/backspace.yml": "label: Robot\n"})
    issue = running.issue("no-changes")
    github.label_issue(issue, "lead", "robot")
    until(lambda: len(github.bot_comments(issue)) == 1, what="an answer")
    until(lambda: "**Nothing was changed**" in github.bot_comments(issue)[0].body, what="the run ends")
    other = running.issue("no-changes")
    delivery = github.label_issue(other, "lead", "backspace")
    until(lambda: running.run(running.run_id(delivery))["outcome"] == "refused", what="it is looked at")
    assert github.bot_comments(other) == []


def _suspended(running: Deployment) -> None:
    running.github.suspend(running.installation, "boss")


def _uninstalled(running: Deployment) -> None:
    running.github.uninstall(running.installation, "boss")


def _repository_removed(running: Deployment) -> None:
    running.github.change_repositories(running.installation, "boss", remove=[running.repository])


_SHUT_OUT = pytest.mark.parametrize(
    "shut_out", [_suspended, _uninstalled, _repository_removed], ids=lambda act: act.__name__.strip("_")
)


def at_work(running: Deployment, step: int) -> tuple[str, Issue]:
    """A run whose agent is held before that answer of the model."""
    gate = Gate("fix-calc", step)
    running.model.hold(gate)
    issue = running.issue("fix-calc")
    run_id = running.run_id(running.ask(issue))
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    return run_id, issue


def words_of_the_end(running: Deployment, run_id: str) -> str:
    """Of a run that was stopped."""
    until(lambda: running.run(run_id)["outcome"] == "stopped", what="the run ends")
    (complete,) = [event for event in running.events(run_id) if event["type"] == "complete"]
    return str(complete["summary"])


@_SHUT_OUT
def test_what_works_where_the_app_is_no_more_ends_and_its_work_is_kept(
    running: Deployment, shut_out: Callable[[Deployment], None]
) -> None:
    run_id, issue = at_work(running, step=3)
    waiting = running.run_id(running.ask(issue, "/backspace and then this"))
    until(lambda: running.run(waiting)["state"] == "waiting", what="the second waits")
    shut_out(running)
    assert "nothing more can be done here" in words_of_the_end(running, run_id)
    assert "nothing more can be done here" in words_of_the_end(running, waiting)
    assert "+    return a + b" in running.patch(run_id)
    assert running.github.pulls(running.repository) == []
    assert "run.failed" not in running.backspace.log


def test_one_that_has_done_nothing_yet_says_why_it_ended(running: Deployment) -> None:
    run_id, _ = at_work(running, step=0)
    _suspended(running)
    assert "suspended" in words_of_the_end(running, run_id)
    assert "run.failed" not in running.backspace.log


def test_others_go_on_when_one_repository_is_taken_out(running: Deployment) -> None:
    other = running.github.add_repo(f"{running.repository.owner.login}/other", {"README.md": "# Other\n"})
    running.github.change_repositories(running.installation, "boss", add=[other])
    gate = Gate("fix-calc", 3)
    run_id, _ = at_work(running, step=3)
    running.github.change_repositories(running.installation, "boss", remove=[other])
    running.model.release(gate)
    assert running.finished(run_id)["outcome"] == "pull_request"


def test_after_a_suspension_people_can_ask_again(running: Deployment) -> None:
    github = running.github
    github.suspend(running.installation, "boss")
    issue = running.issue("no-changes")
    github.suspend(running.installation, "boss", suspended=False)
    run = running.finished(running.run_id(running.ask(issue)))
    assert run["outcome"] == "no_changes"


def test_a_suspension_told_late_ends_nothing_when_it_is_over(running: Deployment) -> None:
    github = running.github
    running.backspace.stop()
    late = github.suspend(running.installation, "boss")
    github.suspend(running.installation, "boss", suspended=False)
    running.backspace.start()
    gate = Gate("fix-calc", 3)
    run_id, _ = at_work(running, step=3)
    looked_at = running.backspace.log.count("installation.gone")
    assert github.redeliver(late.guid).status == 202
    until(lambda: running.backspace.log.count("installation.gone") > looked_at, what="it is looked at")
    running.model.release(gate)
    assert running.finished(run_id)["outcome"] == "pull_request"


def test_when_github_does_not_say_how_things_stand_the_delivery_is_believed(running: Deployment) -> None:
    run_id, _ = at_work(running, step=3)
    running.github.fail("GET", "/app/installations/*", Fault.SERVER_ERROR, count=10)
    _suspended(running)
    assert "suspended" in words_of_the_end(running, run_id)
