"""What GitHub could not deliver is found in its list of deliveries, and acted on once."""

import json

import pytest

from tests import postgres
from tests.deployment import Deployment, deployed, until
from tests.fakes.github import Issue

pytestmark = pytest.mark.slow


def ended(deployment: Deployment, issue: Issue) -> None:
    """The thread has one answer, and it says how the run ended."""
    until(lambda: len(deployment.github.bot_comments(issue)) == 1, what="an answer")
    until(lambda: "**Nothing was changed**" in deployment.github.bot_comments(issue)[0].body, what="the run ends")


def test_what_was_asked_while_backspace_was_down_is_done_once() -> None:
    with deployed(start=False) as deployment:
        github = deployment.github
        # What is younger than a minute may yet be answered by the door, and is left to it.
        github.clock.advance(-120)
        issue = deployment.issue("no-changes")
        lost = deployment.ask(issue)
        assert lost.status == 502
        github.clock.advance(120)
        deployment.backspace.start()
        ended(deployment, issue)

        again = github.redeliver(lost.guid)
        assert json.loads(again.body)["result"] == "duplicate"
        deployment.backspace.stop()
        read = github.api_calls().count("GET /app/hook/deliveries")
        deployment.backspace.start()
        until(lambda: github.api_calls().count("GET /app/hook/deliveries") > read, what="the list is read again")
        assert len(github.bot_comments(issue)) == 1


def test_one_that_github_redelivers_while_it_is_read_back_is_done_once() -> None:
    with deployed(start=False) as deployment:
        github = deployment.github
        github.clock.advance(-120)
        issue = deployment.issue("no-changes")
        lost = deployment.ask(issue)
        github.clock.advance(120)
        deployment.backspace.start()
        github.redeliver(lost.guid)
        ended(deployment, issue)
        assert deployment.backspace.log.count("run.finished") == 1


@postgres.needs_postgres
def test_one_that_could_not_be_stored_is_done_later() -> None:
    with (
        postgres.cluster() as server,
        postgres.database(server) as url,
        deployed(settings={"DATABASE_URL": url}) as deployment,
    ):
        github = deployment.github
        github.clock.advance(-120)
        issue = deployment.issue("no-changes")
        with postgres.locked_out(server, url):
            assert deployment.ask(issue).status == 503
        github.clock.advance(120)
        arrived = deployment.issue("no-changes")
        assert deployment.ask(arrived).status == 202
        ended(deployment, arrived)
        deployment.backspace.stop()
        deployment.backspace.start()
        ended(deployment, issue)
        assert len(github.bot_comments(arrived)) == 1
