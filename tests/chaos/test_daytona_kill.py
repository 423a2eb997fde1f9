"""kill -9 while sandboxes are elsewhere: they live on, the run goes on in them, and none is left behind."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from tests.deployment import SAMPLE, Deployment, deployed, until
from tests.fakes.daytona import FakeDaytona, Fault
from tests.fakes.daytona.container import Dead
from tests.fakes.model.scenarios import CALC_FILES
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow
_HELD_SECONDS = 30.0
_EACH_CALL_SECONDS = 0.4
_REAPED_SECONDS = 120.0
_EXECUTE = "POST /toolbox/*/process/execute"


def cloud(deployment: Deployment) -> FakeDaytona:
    assert deployment.daytona is not None
    return deployment.daytona


@dataclass(frozen=True)
class Moment:
    """`prepare` makes it possible to hit, `come` says that it is now."""

    prepare: Callable[[Deployment], object]
    come: Callable[[Deployment], bool]
    files: Mapping[str, str] = field(default_factory=lambda: SAMPLE)
    same_agent: bool = False
    """The agent lives on and is listened to again."""


def held(match: str) -> Moment:
    """While the answer to this request is on its way, and what it asks for is done."""
    return Moment(
        lambda d: cloud(d).fail(Fault.SLOW, match=match, seconds=_HELD_SECONDS),
        lambda d: not cloud(d).faults.pending(),
    )


def commanded(words: str) -> Callable[[Deployment], bool]:
    """Somewhere a command with these words is being run."""

    def seen(deployment: Deployment) -> bool:
        requests = cloud(deployment).requests
        return any(words in str(one.body) for one in requests if one.path.endswith("/process/execute"))

    return seen


def slow_commands(deployment: Deployment) -> None:
    cloud(deployment).fail(Fault.SLOW, match=_EXECUTE, times=-1, seconds=_EACH_CALL_SECONDS)


def model_held(step: int, *, midway: bool = False) -> Moment:
    gate = Gate("fix-calc", step, midway)
    return Moment(lambda d: d.model.hold(gate), lambda d: gate in d.model.waiting, same_agent=True)


LAST = Gate("fix-calc", 5)


def at_the_last_answer(deployment: Deployment) -> None:
    """The agent has its last answer, and we hear nothing of what it makes of it."""
    deployment.model.hold(LAST)
    until(lambda: LAST in deployment.model.waiting, what="the agent asks for its last answer")
    cloud(deployment).fail(Fault.BAD_GATEWAY, match="GET /toolbox/*/files/download", times=-1)
    deployment.model.release(LAST)


def agent_done(deployment: Deployment) -> bool:
    """It has said its last word; its process waits for ours."""
    return inside(deployment, 'grep -q \'"type":"result"\' /workspace/.backspace/jobs/agent-*/out')


def agent_ended(deployment: Deployment) -> bool:
    return inside(deployment, "ls /workspace/.backspace/jobs/agent-*/exit")


def inside(deployment: Deployment, command: str) -> bool:
    """Asked in the run's own sandbox, past all faults."""
    name = next((box.name for box in cloud(deployment).sandboxes() if len(box.labels["key"]) <= 36), None)
    if name is None:
        return False
    with contextlib.suppress(Dead):
        return cloud(deployment).shell(name, command)[0] == 0
    return False


def harvested(deployment: Deployment) -> bool:
    """Behind the agent's end, a command of ours runs in its sandbox."""
    if not agent_ended(deployment):
        return False
    slow_commands(deployment)
    before = len(cloud(deployment).requests)
    return until(
        lambda: any(one.path.endswith("/process/execute") for one in cloud(deployment).requests[before:]),
        what="the work is read out",
    )


MOMENTS = {
    "the sandbox is being made": held("POST /sandbox"),
    "its programs are uploaded": held("POST /toolbox/*/files/bulk-upload"),
    "the agent is being launched": Moment(slow_commands, commanded("jobs/agent-")),
    "the agent has begun": model_held(0),
    "the agent is in the middle of a sentence": model_held(2, midway=True),
    "the agent has changed the tree": model_held(3),
    "the agent has ended and nobody heard it": Moment(at_the_last_answer, agent_done, same_agent=True),
    "the work is read out": Moment(lambda _: None, harvested, files=CALC_FILES),
    "a sandbox is being deleted": held("DELETE /sandbox/*"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed(sandbox="daytona") as deployment:
        yield deployment


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_when(running: Deployment, name: str) -> None:
    moment = MOMENTS[name]
    running.model.reset()
    running.github.settle()
    cloud(running).requests.clear()
    deployment = running.elsewhere(moment.files)
    if moment.prepare is not at_the_last_answer:
        moment.prepare(deployment)
    issue = deployment.issue()
    delivery = deployment.ask(issue)
    if moment.prepare is at_the_last_answer:
        moment.prepare(deployment)
    until(lambda: moment.come(deployment), what=name)
    before = {box.id for box in cloud(deployment).sandboxes() if box.labels["key"] == deployment.run_id(delivery)}
    deployment.backspace.kill()
    cloud(deployment).faults.clear()
    deployment.model.reset()
    deployment.backspace.start()
    run = deployment.finished(deployment.run_id(delivery))

    assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
    (comment,) = deployment.github.bot_comments(issue)
    assert run["pr_url"] in comment.body
    pull = deployment.pull()
    assert "+    return a + b" in deployment.github.diff(pull)
    assert len(deployment.github.commits(pull)) == 1
    events = deployment.events(run["request_id"])
    assert [event["type"] for event in events].count("complete") == 1
    assert [event["type"] for event in events].count("pr_created") == 1
    percentages = [event["percentage"] for event in events if event["type"] == "progress"]
    assert all(earlier <= later for earlier, later in pairwise(percentages))
    if moment.same_agent:
        said = [event["message"] for event in events if event["type"] == "AI Message" and not event["thinking"]]
        assert len(said) == len(set(said)), "nothing is said twice"
        assert [event["type"] for event in events].count("Tool: Edit") == 1
        made = [one for one in cloud(deployment).requests if one.call == "POST /sandbox"]
        keys = [one.body["labels"]["key"] for one in made if isinstance(one.body, dict)]
        assert keys.count(run["request_id"]) == 1, "the agent's sandbox lived on"
        assert before
    until(lambda: deployment.sandboxes() == [], seconds=_REAPED_SECONDS, what="no sandbox is left")
