"""The reader of the stream: any line, however long or wrong, and nothing that stops it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.agent.parsing import MalformedMessage, parse
from bot.agent.stream import COMMAND_LIMIT, EDIT_LIMIT, OUTPUT_LIMIT, Translator, cut, cut_middle
from bot.events import AiMessage, Event, Todo, ToolBash, ToolEdit, ToolOther, ToolRead, ToolWrite
from bot.sandbox import Exited, Handle, Running, Sandbox, SandboxId
from bot.sandbox.follow import Ended, Follower, Idle


def _call(call_id: str, name: str, **given: object) -> bytes:
    block = {"type": "tool_use", "id": call_id, "name": name, "input": given}
    return _assistant(block)


def _assistant(block: Mapping[str, object], **extra: object) -> bytes:
    return json.dumps({"type": "assistant", "message": {"id": "m", "model": "x", "content": [block]}, **extra}).encode()


def _result(
    call_id: str, text: str = "", *, is_error: bool = False, structured: object = None, **extra: object
) -> bytes:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": text, "is_error": is_error}
    line = {"type": "user", "message": {"content": [block]}, "tool_use_result": structured, **extra}
    return json.dumps(line).encode()


def _play(*lines: bytes) -> list[Event]:
    translator = Translator()
    return [event for line in lines for event in translator.feed(line)]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"rate_limit_event","x":1}',
        b'{"type":"system","subtype":"from_the_future"}',
        b'{"type":"assistant","message":{"id":"m","content":[{"type":"server_thing"}]}}',
        b'{"type":"user","message":{"content":"played back"},"isReplay":true}',
    ],
    ids=["type", "subtype", "block", "replayed"],
)
def test_what_is_unknown_is_passed_over(line: bytes) -> None:
    translator = Translator()
    assert translator.feed(line) == []
    assert translator.facts.malformed_lines == 0


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1]",
        b"\xff\xfe",
        b"{}",
        b'{"type":"result"}',
        b'{"type":"result","subtype":1,"is_error":true}',
        b'{"type":"assistant","message":{"content":[{"type":"text"}]}}',
        b'{"type":"assistant","message":{"content":[{"type":"tool_use","id":"a","name":"Read"}]}}',
        b'{"type":"user","message":{"content":[{"type":"tool_result"}]}}',
        b'{"type":"system","subtype":"api_retry","attempt":Infinity,"max_retries":1}',
        b'{"type":"system","subtype":"init"}',
        b"[" * 100_000,
    ],
)
def test_what_is_malformed_is_counted_and_stops_nothing(line: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse(line)
    translator = Translator()
    assert translator.feed(line) == []
    text = _assistant({"type": "text", "text": "on"})
    assert translator.feed(text) == [AiMessage("on")]
    assert translator.facts.malformed_lines == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "message", "content", "subtype", "id", "name", "input", "tool_use_id", "tasks", "task"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["assistant", "user", "result", "system", "control_response", "stream_event"]),
    st.dictionaries(st.sampled_from(["message", "subtype", "response", "tool_use_result", "errors"]), _JSON),
)
def test_no_line_at_all_raises_anything_else(kind: str, rest: dict[str, Any]) -> None:
    Translator().feed(json.dumps({"type": kind, **rest}).encode())


def test_paths_are_shown_as_in_the_repository() -> None:
    events = _play(
        _call("a", "Read", file_path="/workspace/repo/src/calc.py"),
        _result("a"),
        _call("b", "Write", file_path="/tmp/elsewhere", content="x"),
        _result("b"),
        _call("c", "Grep", pattern="add", path="/workspace/repo/src"),
        _result("c"),
    )
    assert events == [
        ToolRead("src/calc.py"),
        ToolWrite("/tmp/elsewhere", "x"),
        ToolOther("Grep", '{"pattern": "add", "path": "src"}'),
    ]


def test_results_find_their_calls_in_any_order() -> None:
    events = _play(
        _call("a", "Bash", command="one"),
        _call("b", "Bash", command="two"),
        _result("b", "Exit code 3\nno such thing", is_error=True),
        _result("a", "fine", structured={"stdout": "fine", "stderr": "a warning", "interrupted": False}),
    )
    assert events == [
        ToolBash("two", "no such thing", 3),
        ToolBash("one", "fine\na warning", 0),
    ]


@pytest.mark.parametrize(
    ("line", "exit_code", "output"),
    [
        (_result("a", "Exit code 1\nFAILED", is_error=True), 1, "FAILED"),
        (_result("a", "Exit code 143\nCommand timed out after 3s", is_error=True), 143, "Command timed out after 3s"),
        (_result("a", "The user doesn't want to", is_error=True), None, "The user doesn't want to"),
        (_result("a", "", structured={"stdout": "half", "interrupted": True}), None, "half"),
        (_result("a", "plain"), 0, "plain"),
    ],
    ids=["failed", "timeout", "rejected", "interrupted", "unstructured"],
)
def test_a_command_shows_output_and_exit_code(line: bytes, exit_code: int | None, output: str) -> None:
    assert _play(_call("a", "Bash", command="make"), line) == [ToolBash("make", output, exit_code)]


def test_long_fields_are_cut_and_say_so() -> None:
    edit, bash = _play(
        _call("a", "Edit", file_path="f", old_string="o" * 50_000, new_string="n"),
        _result("a"),
        _call("b", "Bash", command="c" * 50_000),
        _result("b", "x" * 50_000 + "the end"),
    )
    assert isinstance(edit, ToolEdit)
    assert isinstance(bash, ToolBash)
    assert edit.old_str.endswith(f"… [cut, {50_000 - EDIT_LIMIT} more characters]")
    assert bash.command.endswith(f"… [cut, {50_000 - COMMAND_LIMIT} more characters]")
    assert "more characters]" in bash.output
    assert bash.output.endswith("the end")


@given(st.text(max_size=200), st.integers(4, 100))
def test_cutting_keeps_what_fits(text: str, limit: int) -> None:
    for cutter in (cut, cut_middle):
        result = cutter(text, limit)
        if len(text) <= limit:
            assert result == text
        else:
            assert f"[cut, {len(text) - limit} more characters]" in result
            assert result.startswith(text[: limit // 4])


def test_a_task_may_be_renamed_and_deleted() -> None:
    events = _play(
        _call("a", "TaskCreate", subject="one"),
        _result("a", structured={"task": {"id": "1", "subject": "one"}}),
        _call("b", "TaskUpdate", taskId="1", subject="first"),
        _result("b", structured={"success": True, "taskId": "1"}),
        _call("c", "TaskUpdate", taskId="1", status="deleted"),
        _result("c", structured={"success": True, "taskId": "1"}),
    )
    assert [[item.text for item in event.items] for event in events if isinstance(event, Todo)] == [
        ["one"],
        ["first"],
        [],
    ]


def test_activity_tells_what_the_agent_does() -> None:
    translator = Translator()
    translator.feed(_call("a", "Bash", command="make test"))
    assert (translator.activity, translator.tools_running) == ("running make test", 1)
    translator.feed(_result("a"))
    assert (translator.activity, translator.tools_running) == ("thinking", 0)


class _Output:
    """A program that has printed everything already, handed out in pieces of any size."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = content
        self._sizes = sizes

    async def status(self, handle: Handle) -> Running | Exited:
        return Exited(0)

    async def read(self, handle: Handle, offset: int, *, limit_bytes: int = 1024**2) -> bytes:
        size = self._sizes.pop() if self._sizes else limit_bytes
        return self._content[offset : offset + size]


async def _translated(content: bytes, sizes: list[int]) -> list[Event]:
    output: Any = _Output(content, sizes)
    sandbox: Sandbox = output
    follower = Follower(sandbox, Handle(SandboxId("s"), "agent"), clock=lambda: 0.0)
    translator = Translator()
    events: list[Event] = []
    while not isinstance(step := await follower.step(), Ended):
        if not isinstance(step, Idle):
            events += [event for line in step for event in translator.feed(line.content)]
    return events + translator.finish()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), max_size=60))
async def test_bytes_may_be_cut_anywhere(sizes: list[int]) -> None:
    lines = [
        _assistant({"type": "text", "text": "Grüße, 世界 🎉"}),
        _call("a", "Bash", command="make"),
        _result("a", "Exit code 2\nüber", is_error=True),
    ]
    events = await _translated(b"\n".join(lines), sizes)
    assert events == [AiMessage("Grüße, 世界 🎉"), ToolBash("make", "über", 2)]


async def test_a_line_of_several_megabytes_is_one_line() -> None:
    huge = _result("a", structured={"filePath": "f", "originalFile": "x" * 5_000_000})
    lines = [_call("a", "Edit", file_path="f", old_string="1", new_string="2"), huge]
    events = await _translated(b"\n".join(lines) + b"\n", [])
    assert events == [ToolEdit("f", "1", "2")]


def test_output_limit_is_within_what_a_reader_takes() -> None:
    assert OUTPUT_LIMIT < 65_536
