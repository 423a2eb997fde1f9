"""What GitHub could not deliver is found in its list of deliveries, and acted on once."""

import json

import pytest

from tests.deployment import deployed, until

pytestmark = pytest.mark.slow


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
        until(lambda: len(github.bot_comments(issue)) == 1, what="an answer")
        until(lambda: "**Nothing was changed**" in github.bot_comments(issue)[0].body, what="the run ends")

        again = github.redeliver(lost.guid)
        assert json.loads(again.body)["result"] == "duplicate"
        deployment.backspace.stop()
        deployment.backspace.start()
        until(lambda: "delivery" in deployment.backspace.log, what="it is at work")
        assert len(github.bot_comments(issue)) == 1
