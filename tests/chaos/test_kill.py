"""kill -9 at any moment, start again: one comment, one pull request, nothing left behind."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.deployment import SAMPLE, Deployment, deployed, processes_of, until
from tests.fakes.github import Fault
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow
_HELD_SECONDS = 30.0


@dataclass(frozen=True)
class Moment:
    """`prepare` makes it possible to hit, `come` says that it is now, `release` lets the second try through."""

    prepare: Callable[[Deployment], object]
    come: Callable[[Deployment], bool]
    release: Callable[[Deployment], object] = lambda deployment: deployment.github.faults.clear()
    files: Mapping[str, str] = field(default_factory=lambda: SAMPLE)


def request_held(method: str, path: str) -> Moment:
    """While GitHub is slow to answer this request."""
    return Moment(
        lambda d: d.github.fail(method, path, Fault.SLOW, seconds=_HELD_SECONDS),
        lambda d: not d.github.faults.pending(),
    )


def request_done(method: str, path: str) -> Moment:
    """When GitHub has done what was asked, and its answer was lost on the way."""
    return Moment(
        lambda d: d.github.fail(method, path, Fault.DROP_AFTER),
        lambda d: any(
            logged.fault is Fault.DROP_AFTER and d.repository.full_name in logged.path for logged in d.github.requests
        ),
    )


def model_held(step: int, *, midway: bool = False) -> Moment:
    """While the model thinks about this step of the agent's work."""
    gate = Gate("fix-calc", step, midway)
    return Moment(lambda d: d.model.hold(gate), lambda d: gate in d.model.waiting, lambda d: d.model.release(gate))


def says(words: str, config: str) -> Moment:
    """When the comment says so, with commands of the repository that take a while."""
    return Moment(
        lambda _: None,
        lambda d: any(words in comment.body for issue in d.issues() for comment in d.github.bot_comments(issue)),
        files={**SAMPLE, ".github/backspace.yml": config},
    )


MOMENTS = {
    "accepted": Moment(lambda _: None, lambda _: True),
    "permission is being asked for": request_held("GET", "*/collaborators/*"),
    "the comment was posted": request_done("POST", "*/issues/*/comments"),
    "the clone is under way": request_held("*", "*/git-upload-pack"),
    "the setup is under way": says(
        "**Prepare the sandbox**", "setup:\n  - sleep 2\nchecks:\n  - python3 -m unittest -q\n"
    ),
    "the agent starts": model_held(0),
    "the agent is in the middle of a sentence": model_held(2, midway=True),
    "the agent has changed the tree": model_held(3),
    "the checks run": says("**Run the checks**", "checks:\n  - sleep 2 && python3 -m unittest -q\n"),
    "the commit is being made": request_held("POST", "*/git/commits"),
    "the branch was made": request_done("POST", "*/git/refs"),
    "the pull request was opened": request_done("POST", "*/pulls"),
    "the eyes are being taken back": request_held("DELETE", "*/reactions/*"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_when(running: Deployment, name: str) -> None:
    moment = MOMENTS[name]
    running.model.reset()
    running.github.settle()
    deployment = running.elsewhere(moment.files)
    moment.prepare(deployment)
    issue = deployment.issue()
    delivery = deployment.ask(issue)
    assert delivery.status == 202
    until(lambda: moment.come(deployment), what=name)
    deployment.backspace.kill()
    until(lambda: not processes_of(deployment.backspace.home / "data"), seconds=5, what="its children are dead")
    moment.release(deployment)
    deployment.backspace.start()
    run = deployment.finished(deployment.run_id(delivery))

    assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
    (comment,) = deployment.github.bot_comments(issue)
    assert run["pr_url"] in comment.body
    pull = deployment.pull()
    assert "+    return a + b" in deployment.github.diff(pull)
    assert len(deployment.github.commits(pull)) == 1
    assert set(deployment.github.branches(deployment.repository)) == {"main", run["branch"]}
    _, asked = deployment.github.find_comment(delivery.comment_id)
    assert deployment.github.reactions(asked, by=deployment.github.identity.bot) == ["rocket"]
    assert deployment.sandboxes() == []
    events = deployment.events(run["request_id"])
    assert [event["type"] for event in events].count("complete") == 1
    assert [event["type"] for event in events].count("pr_created") == 1


def test_killed_again_and_again(running: Deployment) -> None:
    """Three kills in one run, wherever they fall; the run goes on each time."""
    running.model.reset()
    deployment = running.elsewhere(SAMPLE)
    gates = [Gate("fix-calc", step) for step in (0, 2, 4)]
    for gate in gates:
        deployment.model.hold(gate)
    issue = deployment.issue()
    delivery = deployment.ask(issue)
    for gate in gates:
        until(lambda gate=gate: gate in deployment.model.waiting, what=f"{gate}")  # type: ignore[misc]  # bound now
        deployment.backspace.kill()
        deployment.model.release(gate)
        deployment.backspace.start()
    run = deployment.finished(deployment.run_id(delivery))
    assert run["outcome"] == "pull_request", deployment.backspace.log[-6000:]
    assert len(deployment.github.bot_comments(issue)) == 1
    assert run["pr_url"].endswith(f"/pull/{deployment.pull().number}")
