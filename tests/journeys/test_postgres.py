"""Nothing but `DATABASE_URL` changes: the same path on PostgreSQL, also through a kill."""

from collections.abc import Iterator

import pytest

from tests import postgres
from tests.deployment import deployed, until
from tests.fakes.model.state import Gate

pytestmark = [pytest.mark.slow, postgres.needs_postgres]


@pytest.fixture
def url() -> Iterator[str]:
    with postgres.cluster() as server, postgres.database(server) as fresh:
        yield fresh


def test_a_comment_becomes_a_pull_request_through_a_kill(url: str) -> None:
    gate = Gate("fix-calc", 2)
    with deployed(settings={"DATABASE_URL": url}) as deployment:
        deployment.model.hold(gate)
        issue = deployment.issue()
        asked = deployment.ask(issue)
        assert asked.status == 202
        until(lambda: gate in deployment.model.waiting, what="the agent is at work")
        deployment.backspace.kill()
        deployment.model.release(gate)
        deployment.backspace.start()
        run = deployment.finished(deployment.run_id(asked))
        assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
        assert len(deployment.github.bot_comments(issue)) == 1
        assert len(deployment.github.pulls()) == 1
        again = deployment.github.redeliver(asked.guid)
        assert '"duplicate"' in again.body


def test_a_database_that_is_away_is_answered_with_503_and_the_delivery_can_come_again() -> None:
    with (
        postgres.cluster() as server,
        postgres.database(server) as fresh,
        deployed(settings={"DATABASE_URL": fresh}) as deployment,
    ):
        issue = deployment.issue("no-changes")
        with postgres.locked_out(server, fresh):
            refused = deployment.ask(issue)
            assert refused.status == 503
            assert "not-stored" in refused.body
            assert "Traceback" not in refused.body
        accepted = deployment.github.redeliver(refused.guid)
        assert accepted.status == 202
        run = deployment.finished(deployment.run_id(accepted))
        assert run["outcome"] == "no_changes"
