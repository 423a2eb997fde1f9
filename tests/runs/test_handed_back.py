"""Failing checks of one commit are one run, and none that comes too late begins another."""

from dataclasses import replace

import pytest

from bot import events as ev
from bot.model import Outcome, RunId, RunState, Sha, TriggerKind
from bot.runs.lifecycle import NewRun, Terms
from bot.runs.records import Accepted, Duplicate
from bot.runs.store import Store
from tests.runs.test_store import NOW, REQUEST

_WISH = "1:checks:0123abcd"


def _failed(number: int, trigger: TriggerKind = TriggerKind.CHECKS) -> NewRun:
    request = replace(REQUEST, trigger=trigger, comment_id=None, prompt=f"check {number} failed", checks_round=1)
    return NewRun(RunId(f"run-{number}"), request, _WISH, f"1:check:{number}")


async def test_failing_checks_of_a_commit_join_the_run_of_the_first(store: Store) -> None:
    assert await store.start(_failed(1), NOW) == Accepted(RunId("run-1"))
    assert await store.start(_failed(2), NOW) == Accepted(RunId("run-1"))
    assert await store.start(_failed(2), NOW) == Duplicate(RunId("run-1"))
    assert [message.request.prompt for message in await store.messages(RunId("run-1"))] == ["check 2 failed"]
    found = await store.by_wish(_WISH)
    assert found is not None
    assert (found.id, found.request.checks_round) == (RunId("run-1"), 1)


@pytest.mark.parametrize(
    ("trigger", "runs_after"),
    [
        pytest.param(TriggerKind.CHECKS, [], id="a failing check"),
        pytest.param(TriggerKind.COMMENT, [RunId("run-2")], id="a person's words"),
    ],
)
async def test_what_came_too_late_for_the_run(store: Store, trigger: TriggerKind, runs_after: list[RunId]) -> None:
    await store.start(_failed(1, trigger), NOW)
    await store.admit(RunId("run-1"), Terms("model", 1.0, "backspace/5-x", Sha("0123abcd"), 5))
    await store.begin(RunId("run-1"), NOW)
    await store.start(_failed(2, trigger), NOW)
    await store.finish(RunId("run-1"), ev.Complete(Outcome.COMMITS_PUSHED, "Done.", 1, 0), NOW)
    assert [run.id for run in await store.unfinished()] == runs_after
    ended = await store.run(RunId("run-1"))
    assert ended is not None
    assert ended.state is RunState.FINISHED
