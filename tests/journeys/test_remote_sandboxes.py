"""Sandboxes are elsewhere, and get lost, cost money, or have a network that nobody can close."""

from collections.abc import Callable, Iterator

import pytest

from tests.deployment import SAMPLE, Deployment, deployed, until
from tests.fakes.daytona import FakeDaytona, Fault
from tests.fakes.daytona.fake import Seen
from tests.fakes.model.state import Gate
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow
_CHECKED_SLOWLY = {**SAMPLE, ".github/backspace.yml": "checks:\n  - sleep 2; python3 -m unittest -q\n"}


@pytest.fixture(scope="module")
def served() -> Iterator[Deployment]:
    with deployed(sandbox="daytona") as deployment:
        yield deployment


@pytest.fixture
def running(served: Deployment) -> Iterator[Deployment]:
    yield served
    served.model.reset()
    cloud(served).faults.clear()


def cloud(deployment: Deployment) -> FakeDaytona:
    assert deployment.daytona is not None
    return deployment.daytona


def sandbox(deployment: Deployment, key: str) -> Seen:
    def found() -> Seen | None:
        boxes = [box for box in cloud(deployment).sandboxes() if box.labels["key"] == key]
        return next((box for box in boxes if box.state == "started"), None)

    return until(found, what=f"the sandbox {key} is there")


def said(deployment: Deployment, run_id: str) -> list[str]:
    return [
        event["message"]
        for event in deployment.events(run_id)
        if event["type"] == "AI Message" and not event["thinking"]
    ]


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(FakeDaytona.stop, id="stopped"),
        pytest.param(FakeDaytona.destroy, id="destroyed"),
    ],
)
def test_a_sandbox_that_is_lost_under_the_agent_is_replaced(
    running: Deployment, lose: Callable[[FakeDaytona, str], None]
) -> None:
    deployment = running.elsewhere(SAMPLE)
    gate = Gate("fix-calc", 3)
    deployment.model.hold(gate)
    run_id = deployment.run_id(deployment.ask(deployment.issue()))
    until(lambda: gate in deployment.model.waiting, what="the agent works")
    first = sandbox(deployment, run_id)
    lose(cloud(deployment), first.name)
    deployment.model.release(gate)
    run = deployment.finished(run_id)
    assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
    assert "+    return a + b" in deployment.github.diff(deployment.pull())
    until(lambda: deployment.sandboxes() == [], what="none is left")


def test_saved_work_goes_on_where_a_sandbox_is_lost_later(running: Deployment) -> None:
    deployment = running.elsewhere(_CHECKED_SLOWLY)
    run_id = deployment.run_id(deployment.ask(deployment.issue()))
    cloud(deployment).destroy(sandbox(deployment, f"{run_id}-after").name)
    run = deployment.finished(run_id)
    assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
    assert "+    return a + b" in deployment.github.diff(deployment.pull())
    words = said(deployment, run_id)
    assert len(words) == len(set(words)), "the agent does not begin again"


def test_the_comment_says_what_the_sandboxes_cost(running: Deployment) -> None:
    deployment = running.elsewhere(SAMPLE)
    issue = deployment.issue()
    deployment.finished(deployment.run_id(deployment.ask(issue)))
    (comment,) = deployment.github.bot_comments(issue)
    assert " · sandboxes under $0.01 · " in comment.body
    told = LOOPBACK.get(f"{deployment.backspace.url}/metrics", timeout=10).text.splitlines()
    assert "backspace_sandboxes_living 0.0" in told
    assert any(line.startswith("backspace_sandbox_usd_total ") for line in told)


def test_a_private_repository_is_kept_out_of_an_open_network(running: Deployment) -> None:
    deployment = running.elsewhere(SAMPLE)
    cloud(deployment).fail(Fault.POLICY_REFUSED, times=-1)
    issue = deployment.issue()
    run = deployment.finished(deployment.run_id(deployment.ask(issue)))
    assert run["outcome"] == "failed"
    (comment,) = deployment.github.bot_comments(issue)
    assert "`sandbox-network-open`" in comment.body
    assert "BACKSPACE_DAYTONA_ACCEPT_OPEN_NETWORK" in comment.body
    assert deployment.sandboxes() == []


def test_people_are_told_what_daytona_has_against_the_run(running: Deployment) -> None:
    deployment = running.elsewhere(SAMPLE)
    cloud(deployment).fail(Fault.UNAUTHORIZED, match="POST /sandbox", times=-1)
    issue = deployment.issue()
    run = deployment.finished(deployment.run_id(deployment.ask(issue)))
    assert run["outcome"] == "failed"
    (comment,) = deployment.github.bot_comments(issue)
    assert "Daytona refuses DAYTONA_API_KEY" in comment.body
