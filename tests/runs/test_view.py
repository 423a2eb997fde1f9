"""What a run's events say about it, folded."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import events as ev
from bot.model import Outcome, Stage, TriggerKind, When
from bot.runs.view import EGRESS_REFUSED, RunView, StageState, fold, view_of
from tests.run_events import BEGUN, START, check, complete, reached, stored


def _states(view: RunView) -> dict[str, str]:
    return {
        stage.value: seen.state.value for stage, seen in view.stages.items() if seen.state is not StageState.PENDING
    }


def test_a_run_that_was_only_asked_for_waits() -> None:
    view = view_of(stored(BEGUN))
    assert (view.repo, view.prompt, view.trigger, view.actor) == (
        "octo/here",
        "Fix the crash",
        TriggerKind.COMMENT,
        "octocat",
    )
    assert _states(view) == {"queued": "active"}
    assert view.elapsed_seconds(START + timedelta(seconds=7)) == 7


def test_stages_are_passed_in_turn_and_timed() -> None:
    view = view_of(stored(BEGUN, reached(Stage.AUTHORIZING), reached(Stage.CLONING, "Cloning", 5)))
    assert _states(view) == {"queued": "done", "authorizing": "done", "cloning": "active"}
    assert view.stages[Stage.AUTHORIZING].seconds == 10
    assert view.stages[Stage.CLONING].seconds_at(START + timedelta(seconds=25)) == 5
    assert (view.hint, view.percentage) == ("Cloning", 5)


def test_a_stage_that_was_passed_over_is_not_said_to_be_done() -> None:
    view = view_of(stored(BEGUN, reached(Stage.CODING), reached(Stage.COMMITTING)))
    assert view.stages[Stage.VERIFYING].state is StageState.SKIPPED
    assert view.stages[Stage.CODING].state is StageState.DONE


def test_a_stage_may_be_entered_again() -> None:
    again = (reached(Stage.CODING), reached(Stage.VERIFYING, "", 70), reached(Stage.CODING, "", 20))
    view = view_of(stored(BEGUN, *again))
    assert view.stages[Stage.CODING].state is StageState.ACTIVE
    assert view.stages[Stage.VERIFYING].state is StageState.PENDING
    assert view.stages[Stage.CODING].seconds_at(START + timedelta(seconds=35)) == 15
    assert view.percentage == 70, "progress never goes back"


def test_the_same_stage_with_another_message_goes_on() -> None:
    view = view_of(stored(BEGUN, reached(Stage.CODING, "a"), reached(Stage.CODING, "b")))
    assert view.hint == "b"
    assert view.stages[Stage.CODING].since == START + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.NO_CHANGES, StageState.DONE), (Outcome.FAILED, StageState.FAILED), (Outcome.STOPPED, StageState.FAILED)],
)
def test_at_the_end_the_active_stage_is_done_or_failed_and_the_rest_skipped(
    outcome: Outcome, state: StageState
) -> None:
    view = view_of(stored(BEGUN, reached(Stage.CODING), complete(outcome)))
    assert view.stages[Stage.CODING].state is state
    assert view.stages[Stage.PUSHING].state is StageState.SKIPPED
    assert view.outcome is outcome
    assert view.elapsed_seconds(START + timedelta(hours=5)) == 20


def test_messages_thoughts_and_lists() -> None:
    todo = ev.Todo((ev.TodoItem("read", "completed"),))
    spoken = (ev.AiMessage("I read"), ev.AiMessage("hm", thinking=True), ev.AiMessage("  "))
    view = view_of(stored(BEGUN, *spoken, todo))
    assert view.last_message == "I read"
    assert view.todo == todo.items


def test_tools_are_counted() -> None:
    edit = ev.ToolEdit("a", "b", "c")
    calls = (ev.ToolRead("a"), edit, edit, ev.ToolWrite("a", "b"), ev.ToolBash("ls", "", 0), ev.ToolOther("Grep", ""))
    tools = view_of(stored(BEGUN, *calls)).tools
    assert (tools.reads, tools.edits, tools.writes, tools.commands, tools.others) == (1, 2, 1, 1, 1)
    assert tools.total == 6


def test_of_a_check_that_ran_again_the_last_result_counts_at_its_place() -> None:
    view = view_of(
        stored(
            check("test", 1, When.BEFORE),
            check("test", 1, When.AFTER),
            check("lint", 0, When.AFTER),
            check("test", 0, When.AFTER),
        )
    )
    assert [(c.command, c.exit_code) for c in view.checks_before] == [("test", 1)]
    assert [(c.command, c.exit_code) for c in view.checks_after] == [("test", 0), ("lint", 0)]


def test_blocked_hosts_are_no_errors_and_named_once() -> None:
    def blocked(host: str) -> ev.ErrorReport:
        return ev.ErrorReport(EGRESS_REFUSED, f"{host}:443 was blocked: not allowed", recoverable=True)

    failure = ev.ErrorReport("setup-failed", "It failed.", recoverable=False)
    passing = ev.ErrorReport("model-overloaded", "Later.", recoverable=True)
    view = view_of(stored(blocked("a.example"), failure, blocked("a.example"), passing, blocked("b.example")))
    assert view.refused_hosts == ("a.example:443", "b.example:443")
    assert view.failure == failure


def test_usage_and_pull_request_are_the_latest() -> None:
    pr = ev.PrCreated("https://h.example/octo/here/pull/2", 2, "backspace/1-x", 1, 2, 3, "s")
    view = view_of(stored(ev.UsageReport(1, 2, 3, 4, 0.1), ev.UsageReport(2, 4, 6, 8, 0.2), pr))
    assert view.usage.cost_usd == 0.2
    assert view.pr == pr


_EVENTS = st.one_of(
    st.builds(reached, st.sampled_from(Stage), st.text(max_size=5), st.integers(0, 100)),
    st.builds(ev.AiMessage, st.text(max_size=5), st.booleans()),
    st.builds(ev.ErrorReport, st.sampled_from([EGRESS_REFUSED, "x"]), st.text(max_size=5), st.booleans()),
    st.builds(ev.ToolRead, st.text(max_size=5)),
    st.builds(complete, st.sampled_from(Outcome)),
)


@given(st.lists(_EVENTS, max_size=20), st.integers(0, 20))
def test_reading_some_events_twice_changes_nothing(events: list[ev.Event], back: int) -> None:
    log = stored(*events)
    once = view_of(log)
    again = once
    for event in log[-back:]:
        again = fold(again, event)
    assert again == once
    assert sum(seen.state is StageState.ACTIVE for seen in once.stages.values()) <= 1
