"""What a terminal is told of each event, and that nothing in it can steer the terminal."""

import unicodedata

import pytest

from bot import events as ev
from bot.model import Outcome, Stage, TriggerKind, When
from bot.runs.view import EGRESS_REFUSED, fold, view_of
from bot.terminal import lines
from tests.run_events import BEGUN, complete, reached, stored


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (ev.Start("o/r", "Fix it", TriggerKind.API, "ci"), [("asked", "ci in o/r: Fix it")]),
        (reached(Stage.CODING, "At work"), [("coding", "At work")]),
        (ev.AiMessage("Look:\n\n- one"), [("says", "Look: - one")]),
        (ev.AiMessage("Hm.", thinking=True), []),
        (ev.AiMessage("  "), []),
        (ev.ToolRead("a.py"), [("read", "a.py")]),
        (ev.ToolEdit("a.py", "a", "b"), [("edited", "a.py")]),
        (ev.ToolWrite("a.py", "b"), [("wrote", "a.py")]),
        (ev.ToolBash("make", "ok", 0), [("ran", "make")]),
        (ev.ToolBash("make", "no", 2), [("ran", "make (exit code 2)")]),
        (ev.ToolOther("Grep", "add"), [("used", "Grep add")]),
        (
            ev.Todo((ev.TodoItem("One", "completed"), ev.TodoItem("Two", "in_progress"))),
            [("to do", "1 of 2 done; now: Two")],
        ),
        (ev.Check("make", 1, 2.0, When.AFTER, "no"), [("check after", "make → exit code 1")]),
        (ev.UsageReport(1, 2, 3, 4, 0.5), []),
        (ev.ErrorReport("agent-failed", "It broke.", recoverable=False), [("error", "agent-failed: It broke.")]),
        (ev.ErrorReport(EGRESS_REFUSED, "host:443 no", recoverable=True), [("kept from", "host:443 no")]),
        (
            ev.PrCreated("https://g/o/r/pull/1", 1, "b", 1, 2, 3, "s"),
            [("pull request", "https://g/o/r/pull/1"), ("changed", "1 file changed, +2 −3")],
        ),
        (
            complete(Outcome.NO_CHANGES, "It is right."),
            [("answer", "It is right."), ("no_changes", "after 6m 12s, $0.84")],
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list) else "",
)
def test_each_kind_of_event(event: ev.Event, said: list[tuple[str, str]]) -> None:
    assert list(lines.facts(event)) == said


def test_a_line_says_when_it_was() -> None:
    log = stored(BEGUN, reached(Stage.CODING, "At work"), every_seconds=75)
    assert list(lines.of_event(log[-1], view_of(log))) == [" 1m 15s  coding        At work"]


_STEERING = "a\x1b]0;title\x07b\x1b[2Jc\x9b1md\u202ee\rf\x08g\nh"


@pytest.mark.parametrize(
    "event",
    [
        ev.Start(_STEERING, _STEERING, TriggerKind.API, _STEERING),
        reached(Stage.CODING, _STEERING),
        ev.AiMessage(_STEERING),
        ev.ToolRead(_STEERING),
        ev.ToolEdit(_STEERING, "", ""),
        ev.ToolWrite(_STEERING, ""),
        ev.ToolBash(_STEERING, "", 0),
        ev.ToolOther(_STEERING, _STEERING),
        ev.Todo((ev.TodoItem(_STEERING, "in_progress"),)),
        ev.Check(_STEERING, 0, 0, When.BEFORE, ""),
        ev.ErrorReport(_STEERING, _STEERING, recoverable=True),
        ev.PrCreated(_STEERING, 1, "", 1, 1, 1, ""),
        complete(Outcome.FAILED, _STEERING),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_in_it_steers_the_terminal(event: ev.Event) -> None:
    told = stored(BEGUN, event)[-1]
    for line in lines.of_event(told, fold(view_of(stored(BEGUN)), told)):
        assert [c for c in line if unicodedata.category(c) in {"Cc", "Cf"}] == []
