"""The app is installed, given more repositories, suspended, removed."""

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed, until
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow


@pytest.fixture
def running() -> Iterator[Deployment]:
    """A deployment of its own for each: an app that was removed is of no use to the next story."""
    with deployed() as deployment:
        yield deployment


def test_the_label_is_made_in_each_repository_and_nothing_else_is_posted(running: Deployment) -> None:
    github = running.github
    own = github.add_repo("acme/own", {".github/backspace.yml": "label: robot\n"})
    there = github.add_repo("acme/there", {"README.md": "# There\n"})
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


@pytest.mark.parametrize("how", ["suspended", "uninstalled", "repository removed"])
def test_what_works_where_the_app_is_no_more_ends_and_its_work_is_kept(running: Deployment, how: str) -> None:
    github = running.github
    gate = Gate("fix-calc", 3)
    running.model.hold(gate)
    asked = running.ask(running.issue("fix-calc"))
    run_id = running.run_id(asked)
    until(lambda: gate in running.model.waiting, what="the agent is at work")
    if how == "suspended":
        github.suspend(running.installation, "boss")
    elif how == "uninstalled":
        github.uninstall(running.installation, "boss")
    else:
        github.change_repositories(running.installation, "boss", remove=[running.repository])
    until(lambda: running.run(run_id)["outcome"] == "stopped", what="the run ends")
    assert "+    return a + b" in running.patch(run_id)
    (complete,) = [event for event in running.events(run_id) if event["type"] == "complete"]
    assert "nothing more can be done here" in complete["summary"]
    assert github.pulls() == []


def test_after_a_suspension_people_can_ask_again(running: Deployment) -> None:
    github = running.github
    github.suspend(running.installation, "boss")
    issue = running.issue("no-changes")
    github.suspend(running.installation, "boss", suspended=False)
    run = running.finished(running.run_id(running.ask(issue)))
    assert run["outcome"] == "no_changes"
