"""A step as the Messages API puts it on the wire: one JSON message, or server-sent events.

https://docs.claude.com/en/api/messages-streaming
"""

import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.model.script import Call, Conversation, Step, Text, Thinking, Tokens

_PIECE_CHARS = 20
_HUGE_CHARS = 20_000


def error_body(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def message(step: Step, conversation: Conversation, message_id: str) -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "content": [_content(block, message_id, index, conversation) for index, block in enumerate(step.blocks)],
        "stop_reason": _stop_reason(step),
        "stop_sequence": None,
        "usage": _usage(step.tokens, step.tokens.output),
    }


def event(body: dict[str, Any]) -> bytes:
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()


def events(step: Step, conversation: Conversation, message_id: str) -> Iterator[bytes]:
    start = message(step, conversation, message_id)
    contents = start["content"]
    yield event(
        {
            "type": "message_start",
            "message": {**start, "content": [], "stop_reason": None, "usage": _usage(step.tokens, 1)},
        }
    )
    for index, content in enumerate(contents):
        yield from _block_events(index, content)
    yield event(
        {
            "type": "message_delta",
            "delta": {"stop_reason": start["stop_reason"], "stop_sequence": None},
            "usage": {"output_tokens": step.tokens.output},
        }
    )
    yield event({"type": "message_stop"})


def _block_events(index: int, content: dict[str, Any]) -> Iterator[bytes]:
    empty: dict[str, Any]
    match content["type"]:
        case "text":
            empty, kind, key, whole = {"text": ""}, "text_delta", "text", content["text"]
        case "thinking":
            empty, kind, key, whole = (
                {"thinking": "", "signature": ""},
                "thinking_delta",
                "thinking",
                content["thinking"],
            )
        case _:
            whole = json.dumps(content["input"])
            empty = {"id": content["id"], "name": content["name"], "input": {}}
            kind, key = "input_json_delta", "partial_json"
    block = {"type": content["type"], **empty}
    yield event({"type": "content_block_start", "index": index, "content_block": block})
    size = _PIECE_CHARS if len(whole) < _HUGE_CHARS else _HUGE_CHARS
    for start in range(0, len(whole), size):
        piece = {"type": kind, key: whole[start : start + size]}
        yield event({"type": "content_block_delta", "index": index, "delta": piece})
    if content["type"] == "thinking":
        signature = {"type": "signature_delta", "signature": content["signature"]}
        yield event({"type": "content_block_delta", "index": index, "delta": signature})
    yield event({"type": "content_block_stop", "index": index})


def _content(block: Text | Thinking | Call, message_id: str, index: int, conversation: Conversation) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"type": "text", "text": text}
        case Thinking(text):
            return {"type": "thinking", "thinking": text, "signature": "c2ln"}
        case Call(name, given):
            call_id = f"toolu_{message_id.removeprefix('msg_')}_{index}"
            filled = {
                key: value.replace("{cwd}", conversation.cwd) if isinstance(value, str) else value
                for key, value in given.items()
            }
            return {"type": "tool_use", "id": call_id, "name": name, "input": filled}


def _stop_reason(step: Step) -> str:
    return "tool_use" if any(isinstance(block, Call) for block in step.blocks) else "end_turn"


def _usage(tokens: Tokens, output: int) -> dict[str, int]:
    return {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_read_input_tokens": tokens.cache_read,
        "output_tokens": output,
    }
