"""What real processes of the program printed, line by line, and the conclusion that each allows."""

from pathlib import Path

import pytest

from bot.agent.ending import Exit, conclude
from bot.agent.endings import Code
from bot.agent.stream import Translator
from bot.events import AiMessage, ErrorReport, Event, Todo, ToolBash, ToolEdit, ToolOther, ToolRead
from tests.shared_data import SHARED_DATA

_CARRIED = Path(__file__).parent / "recordings"

# File, exit status, conclusion.
_RECORDINGS = [
    ("01-ok-bypass", 0, Code.DONE),
    ("14-partial", 0, Code.DONE),
    ("03-default-mode-denied", 0, Code.PERMISSION_DENIED),
    ("06-max-turns-2", 1, Code.TURN_LIMIT),
    ("07-max-budget", 1, Code.BUDGET),
    ("15-json-schema", 0, Code.DONE),
    ("15b-json-schema-bad", 0, Code.DONE),
    ("74-todo-tasks", 0, Code.DONE),
    # The one MCP server in it is not ours to expect: we start none.
    ("75-mcp", 0, Code.FOREIGN_CONFIGURATION),
    ("73-autocompact", 1, Code.CONTEXT_FULL),
    ("79c-529-fallback-model", 0, Code.DONE),
    ("70-subagent", 0, Code.DONE),
    ("70c-subagent-nobg", 0, Code.DONE),
    ("71-background-bash", 0, Code.DONE),
    ("20-429-once", 0, Code.DONE),
    ("21-429-forever", 1, Code.RATE_LIMIT),
    ("31b-500-max-retries-2", 1, Code.SERVER),
    ("24-401", 1, Code.CREDENTIALS),
    ("25-403", 1, Code.REFUSED),
    ("26-402", 1, Code.BUDGET),
    ("27-400", 1, Code.INVALID_REQUEST),
    ("27b-400-credit", 1, Code.CREDIT),
    ("28-404", 1, Code.MODEL_NOT_FOUND),
    ("29-413", 1, Code.TOO_LARGE),
    ("33-drop-forever", 1, Code.CONNECTION),
    ("35-drop-mid-forever", 0, Code.DONE),
    ("36-sse-error-once", 0, Code.DONE),
    ("37-malformed-once", 0, Code.DONE),
    ("38b-truncated-forever", 0, Code.DONE),
    ("39-empty-200", 1, Code.EMPTY_ANSWER),
    ("11-resume", 0, Code.DONE),
    ("13-resume-unknown", 1, Code.SESSION_UNKNOWN),
    ("50-sigterm-tool", 143, Code.KILLED),
    ("50-sigterm-tool-resumed", 0, Code.DONE),
    ("51-sigkill-tool", -9, Code.KILLED),
    ("51-sigkill-tool-resumed", 0, Code.DONE),
    ("52-sigint-tool", 0, Code.INTERRUPTED),
    ("95-e2e-killed", -9, Code.KILLED),
    ("60-control-can-use-tool", 0, Code.DONE),
    ("61-control-stdin-closed", 0, Code.STREAM_CLOSED),
    ("62-control-interrupt", 0, Code.DONE),
    ("63-steer", 0, Code.DONE),
    ("82-broker-budget-402", 1, Code.BUDGET),
    ("83-broker-wrong-token", 1, Code.REFUSED),
    ("85-broker-cancel-midstream", 1, Code.CANCELLED),
    ("90-inject-default", 0, Code.FOREIGN_CONFIGURATION),
    ("90-inject-sources-empty", 0, Code.DONE),
]


def _lines(name: str) -> list[bytes]:
    for folder in (_CARRIED, SHARED_DATA / "claude-stream"):
        path = folder / f"{name}.jsonl"
        if path.is_file():
            return path.read_bytes().splitlines()
    pytest.skip("this recording is not beside this checkout")


def _play(name: str) -> tuple[list[Event], Translator]:
    translator = Translator()
    events = [event for line in _lines(name) for event in translator.feed(line)]
    return events + translator.finish(), translator


@pytest.mark.parametrize(("name", "exit_code", "code"), _RECORDINGS, ids=[row[0] for row in _RECORDINGS])
def test_every_recording_is_read_whole_and_concluded(name: str, exit_code: int, code: Code) -> None:
    _, translator = _play(name)
    ending = conclude(translator.facts, Exit(exit_code))
    assert ending.code is code
    assert translator.facts.malformed_lines == 0


@pytest.mark.parametrize(("name", "exit_code", "code"), _RECORDINGS, ids=[row[0] for row in _RECORDINGS])
def test_a_failure_says_what_happened_and_what_to_do(name: str, exit_code: int, code: Code) -> None:
    _, translator = _play(name)
    ending = conclude(translator.facts, Exit(exit_code))
    if ending.done:
        assert ending.answer
    else:
        assert ending.public.endswith(".")
        assert ending.next_step


def test_table_has_every_recording() -> None:
    folder = SHARED_DATA / "claude-stream"
    if not folder.is_dir():
        pytest.skip("the recorded material is not beside this checkout")
    assert {path.stem for path in folder.glob("*.jsonl")} == {row[0] for row in _RECORDINGS}


def test_a_plain_run_reads_as_it_happened() -> None:
    events, translator = _play("01-ok-bypass")
    assert events == [
        AiMessage("I look at the file first.", thinking=True),
        AiMessage("I'll look at the file."),
        ToolRead("calc.py"),
        AiMessage("The operator is wrong; fixing."),
        ToolEdit("calc.py", "return a - b", "return a + b"),
        AiMessage("Now the tests."),
        ToolBash(
            "python -m pytest -q",
            ".                                                                        [100%]\n1 passed in 0.01s",
            0,
        ),
        AiMessage("Fixed `add` in calc.py; the tests pass."),
    ]
    assert translator.tools_running == 0


def test_partial_messages_show_nothing_twice() -> None:
    assert _play("14-partial")[0] == _play("01-ok-bypass")[0]


def test_todo_list_follows_the_task_tools() -> None:
    events, _ = _play("74-todo-tasks")
    todos = [[(item.text, item.state) for item in event.items] for event in events if isinstance(event, Todo)]
    assert todos == [
        [("Fix add", "pending")],
        [("Fix add", "pending"), ("Run tests", "pending")],
        [("Fix add", "in_progress"), ("Run tests", "pending")],
        [("Fix add", "completed"), ("Run tests", "pending")],
    ]


def test_a_resumed_session_goes_on_with_its_todo_list() -> None:
    first, _ = _play("74-todo-tasks")
    before = [event for event in first if isinstance(event, Todo)][1]
    translator = Translator(before)
    lines = _lines("74-todo-tasks")
    updates = [line for line in lines if b"TaskUpdate" in line or b"statusChange" in line]
    events = [event for line in updates for event in translator.feed(line)]
    todos = [event for event in events if isinstance(event, Todo)]
    assert [item.state for item in todos[-1].items] == ["completed", "pending"]


def test_what_was_denied_is_not_shown_as_done() -> None:
    events, _ = _play("03-default-mode-denied")
    assert not [event for event in events if isinstance(event, ToolEdit)]
    assert [event.name for event in events if isinstance(event, ToolOther)] == ["Edit failed"]
    assert [event.exit_code for event in events if isinstance(event, ToolBash)] == [None]


@pytest.mark.parametrize(
    ("name", "exit_code"), [("50-sigterm-tool", 137), ("51-sigkill-tool", None)], ids=["term", "kill"]
)
def test_a_command_cut_short_is_still_shown(name: str, exit_code: int | None) -> None:
    events, _ = _play(name)
    assert isinstance(events[-1], ToolBash)
    assert events[-1].exit_code == exit_code


def test_a_subagents_tools_are_shown_and_its_chatter_is_not() -> None:
    events, _ = _play("70c-subagent-nobg")
    assert [event.message for event in events if isinstance(event, AiMessage)] == ["delegating", "all done"]
    assert ToolRead("calc.py") in events


def test_retries_are_told_as_recoverable_errors() -> None:
    events, _ = _play("20-429-once")
    retries = [event for event in events if isinstance(event, ErrorReport)]
    assert [(event.error_type, event.recoverable) for event in retries] == [("model-rate-limit", True)]


def test_an_api_failure_is_not_taken_for_the_agents_words() -> None:
    events, translator = _play("26-402")
    assert not [event for event in events if isinstance(event, AiMessage) and "API Error" in event.message]
    assert conclude(translator.facts, Exit(1)).detail == "API Error: 402 run budget exhausted"


def test_what_configuration_was_smuggled_in_is_named() -> None:
    _, translator = _play("90-inject-default")
    assert translator.facts.foreign == ("hook SessionStart:startup", "MCP server evilmcp", "agent evilagent")
