"""Many people ask in one thread at once: each is answered at once, all are served, in the order in which they asked."""

import itertools
from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed, until
from tests.fakes.github import Comment, Delivery, Fault
from tests.fakes.model.state import Gate

pytestmark = pytest.mark.slow

_COMMANDS = 20
_PEOPLE = ("octo", "boss", "lead", "ada", "grace")
_SECONDS = 150.0


@pytest.fixture(scope="module")
def limited() -> Iterator[Deployment]:
    """GitHub keeps its limits, those on content included."""
    with deployed() as deployment:
        deployment.github.limits.secondary = True
        for login in _PEOPLE[3:]:
            deployment.github.add_user(login, "write")
        yield deployment


def test_twenty_commands_by_five_people_in_one_thread(limited: Deployment) -> None:
    github = limited.github
    gate = Gate("no-changes", 0)
    limited.model.hold(gate)
    issue = limited.issue("no-changes")
    asked = [limited.ask(issue, f"/backspace wish {n}", user=_PEOPLE[n % 5]) for n in range(_COMMANDS)]
    assert all(delivery.status == 202 for delivery in asked)
    runs = [limited.run_id(delivery) for delivery in asked]
    until(lambda: len(github.bot_comments(issue)) == _COMMANDS, what="everybody has an answer")
    comments = {run: _only(comment for comment in github.bot_comments(issue) if run in comment.body) for run in runs}
    for place, run in enumerate(runs[1:], start=1):
        words = f"**Queued, {place} ahead**"
        until(lambda run=run, words=words: words in comments[run].body, what=f"{run} is told its place")  # type: ignore[misc]  # mypy does not infer lambdas with defaults
    limited.model.release(gate)

    ended = [limited.finished(run, seconds=_SECONDS) for run in runs]
    assert [run["outcome"] for run in ended] == ["no_changes"] * _COMMANDS
    assert sorted(ended, key=lambda run: str(run["started_at"])) == ended, "they are served in the order they asked"
    for before, after in itertools.pairwise(ended):
        assert before["finished_at"] <= after["started_at"], "one at a time"
    assert len(github.bot_comments(issue)) == _COMMANDS
    assert all("**Nothing was changed**" in comments[run].body for run in runs)
    assert all(_reactions(limited, delivery) == ["rocket"] for delivery in asked)
    refused = [logged for logged in github.requests if logged.status in {403, 429}]
    assert refused == [], "no limit was met"


def test_a_place_in_the_queue_is_told_again_as_others_are_served(limited: Deployment) -> None:
    first_word, second_word = Gate("no-changes", 0), Gate("no-changes", 1)
    limited.model.hold(first_word)
    limited.model.hold(second_word)
    issue = limited.issue("no-changes")
    runs = [limited.run_id(limited.ask(issue, f"/backspace wish {n}")) for n in range(3)]
    comment = until(lambda: _of(limited, runs[-1]), what="an answer")
    until(lambda: "**Queued, 2 ahead**" in comment.body, what="its place")
    limited.model.release(first_word)
    until(lambda: second_word in limited.model.waiting, what="the first is at its last word")
    limited.model.hold(first_word)
    limited.model.release(second_word)
    until(lambda: "**Queued, 1 ahead**" in comment.body, what="its new place")
    limited.model.release(first_word)
    for run in runs:
        limited.finished(run)
    assert "**Nothing was changed**" in comment.body


def test_who_asked_first_is_served_first_also_when_the_answer_takes_longer(limited: Deployment) -> None:
    permission = "/repos/acme/calc/collaborators/octo/permission"
    limited.github.fail("GET", permission, Fault.SLOW, seconds=2.0)
    issue = limited.issue("no-changes")
    asked = [limited.ask(issue, "/backspace fix it", user=login) for login in ("octo", "lead", "boss")]
    ended = [limited.finished(limited.run_id(delivery)) for delivery in asked]
    assert sorted(ended, key=lambda run: str(run["started_at"])) == ended


def _of(deployment: Deployment, run_id: str) -> Comment | None:
    issue = deployment.issues()[-1]
    return next((comment for comment in deployment.github.bot_comments(issue) if run_id in comment.body), None)


def _only(comments: Iterator[Comment]) -> Comment:
    (comment,) = comments
    return comment


def _reactions(deployment: Deployment, delivery: Delivery) -> list[str]:
    _, comment = deployment.github.find_comment(delivery.comment_id)
    return deployment.github.reactions(comment, by=deployment.github.identity.bot)
