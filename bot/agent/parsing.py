"""One line of Claude Code's stdout becomes one typed message. No I/O.

The lines are described at https://code.claude.com/docs/en/headless.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.agent.messages import (
    ApiFailure,
    Assistant,
    BashCall,
    BashOutput,
    Block,
    Call,
    Denied,
    EditCall,
    Hook,
    Init,
    Message,
    OtherCall,
    Partial,
    ReadCall,
    Result,
    Retry,
    TaskCreateCall,
    TaskFact,
    TaskUpdateCall,
    Text,
    Thinking,
    ToolResult,
    ToolResults,
    WriteCall,
)
from bot.errors import BackspaceError
from bot.model import Usage


class MalformedMessage(BackspaceError):
    """A line of the agent's stream has not the shape that its type promises."""

    def __init__(self, problem: str, line: bytes) -> None:
        super().__init__(f"malformed line of the agent's stream: {problem}")
        self.problem = problem
        self.line = line


_SYNTHETIC_MODEL = "<synthetic>"


def parse(line: bytes) -> Message | None:
    """None for a line of no interest, also of a type unknown here. Raises MalformedMessage."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not JSON", line) from error
    if not isinstance(body, dict):
        raise MalformedMessage("not an object", line)
    try:
        return _message(body)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise MalformedMessage(f"{body.get('type')}: {type(error).__name__} {error}", line) from error


def _message(body: dict[str, Any]) -> Message | None:
    match body["type"]:
        case "assistant":
            return _assistant(body)
        case "user":
            return _tool_results(body)
        case "result":
            return _result(body)
        case "system":
            return _system(body)
        case "stream_event":
            return Partial()
        case _:
            return None


def _system(body: dict[str, Any]) -> Message | None:
    match body.get("subtype"):
        case "init":
            return Init(
                session_id=_text(body["session_id"]),
                model=_text(body["model"]),
                mcp_servers=tuple(str(server["name"]) for server in body.get("mcp_servers") or ()),
                agents=_names(body.get("agents")),
            )
        case "api_retry":
            status = body.get("error_status")
            return Retry(
                attempt=int(body["attempt"]),
                attempts=int(body["max_retries"]),
                delay_seconds=float(body.get("retry_delay_ms") or 0) / 1000,
                status=None if status is None else int(status),
                error=str(body.get("error") or "unknown"),
            )
        case "permission_denied":
            return Denied(_text(body["tool_name"]), str(body.get("tool_use_id") or ""))
        case "hook_started" | "hook_response":
            return Hook(str(body.get("hook_name") or body.get("hook_event") or "hook"))
        case _:
            return None


def _assistant(body: dict[str, Any]) -> Assistant | ApiFailure:
    message = body["message"]
    blocks = tuple(block for raw in message["content"] if (block := _block(raw)) is not None)
    if message.get("model") == _SYNTHETIC_MODEL:
        said = "\n".join(block.text for block in blocks if isinstance(block, Text))
        return ApiFailure(str(body.get("error") or ""), said)
    parent = body.get("parent_tool_use_id")
    return Assistant(_text(message["id"]), blocks, None if parent is None else _text(parent))


def _block(raw: dict[str, Any]) -> Block | None:
    match raw["type"]:
        case "text":
            return Text(_text(raw["text"]))
        case "thinking":
            return Thinking(_text(raw["thinking"]))
        case "tool_use":
            return _call(_text(raw["id"]), _text(raw["name"]), raw["input"])
        case _:
            return None


def _call(call_id: str, name: str, given: object) -> Call:  # noqa: PLR0911 - one return per tool
    # The input is the model's and may lack anything: such a call fails, and is shown as it is.
    match (name, given):
        case ("Read", {"file_path": str(path)}):
            return ReadCall(call_id, path)
        case ("Edit", {"file_path": str(path), "old_string": str(old), "new_string": str(new)}):
            return EditCall(call_id, path, old, new)
        case ("Write", {"file_path": str(path), "content": str(content)}):
            return WriteCall(call_id, path, content)
        case ("Bash", {"command": str(command)}):
            return BashCall(call_id, command)
        case ("TaskCreate", {"subject": str(subject)}):
            return TaskCreateCall(call_id, subject)
        case ("TaskUpdate", {"taskId": str() | int() as task, **rest}):
            return TaskUpdateCall(call_id, str(task), _optional(rest, "status"), _optional(rest, "subject"))
        case _:
            return OtherCall(call_id, name, json.dumps(given, ensure_ascii=False))


def _tool_results(body: dict[str, Any]) -> ToolResults | None:
    content = body["message"]["content"]
    if isinstance(content, str):  # a user's message played back
        return None
    raw_results = [raw for raw in content if raw["type"] == "tool_result"]
    if not raw_results:
        return None
    # `tool_use_result` belongs to the line, so it is unambiguous only for a single result.
    structured = body.get("tool_use_result") if len(raw_results) == 1 else None
    parent = body.get("parent_tool_use_id")
    return ToolResults(
        tuple(_tool_result(raw, structured) for raw in raw_results),
        None if parent is None else _text(parent),
    )


def _tool_result(raw: dict[str, Any], structured: object) -> ToolResult:
    details = structured if isinstance(structured, Mapping) else {}
    bash = None
    if isinstance(details.get("stdout"), str):
        bash = BashOutput(details["stdout"], str(details.get("stderr") or ""), bool(details.get("interrupted")))
    return ToolResult(
        call_id=_text(raw["tool_use_id"]),
        text=_plain(raw.get("content")),
        is_error=bool(raw.get("is_error")),
        bash=bash,
        tasks=_task_facts(details),
    )


def _task_facts(details: Mapping[str, Any]) -> tuple[TaskFact, ...]:
    match details:
        case {"task": {"id": str() | int() as task} as raw}:
            return (TaskFact(str(task), _optional(raw, "subject"), _optional(raw, "status")),)
        case {"taskId": str() | int() as task, "statusChange": {"to": str(status)}}:
            return (TaskFact(str(task), None, status),)
        case {"tasks": [*listed]}:
            return tuple(
                TaskFact(str(raw["id"]), _optional(raw, "subject"), _optional(raw, "status")) for raw in listed
            )
        case _:
            return ()


def _result(body: dict[str, Any]) -> Result:
    usage = body.get("usage") or {}
    status = body.get("api_error_status")
    return Result(
        subtype=_text(body["subtype"]),
        is_error=bool(body["is_error"]),
        text=str(body.get("result") or ""),
        errors=_names(body.get("errors")),
        terminal_reason=str(body.get("terminal_reason") or ""),
        api_error_status=None if status is None else int(status),
        api_error=str(body.get("api_error") or ""),
        denials=len(body.get("permission_denials") or ()),
        turns=int(body.get("num_turns") or 0),
        session_id=str(body.get("session_id") or ""),
        usage=Usage(
            input_tokens=int(usage.get("input_tokens") or 0),
            output_tokens=int(usage.get("output_tokens") or 0),
            cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
            cache_write_tokens=int(usage.get("cache_creation_input_tokens") or 0),
            cost_usd=float(body.get("total_cost_usd") or 0),
        ),
        queued_turns=int(body.get("queued_turn_count") or 0),
    )


def _plain(content: object) -> str:
    """A tool result's content: a text, or blocks of which the texts count."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise TypeError("content of a tool result")
    return "\n".join(_text(raw["text"]) for raw in content if raw["type"] == "text")


def _optional(given: Mapping[Any, object], key: str) -> str | None:
    value = given.get(key)
    return value if isinstance(value, str) else None


def _names(given: Iterable[object] | None) -> tuple[str, ...]:
    return tuple(str(name) for name in given or ())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value
