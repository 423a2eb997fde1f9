"""Counts the tokens of one answer of the Messages API while its bytes pass by. No I/O.

https://docs.claude.com/en/api/messages-streaming: `message_delta.usage` is cumulative and overrides
`message_start.message.usage`.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from bot.broker.prices import Tokens

_CHARS_PER_TOKEN = 3
"""On the safe side: an answer that broke off is counted by what was written of it."""
_LINE_LIMIT_BYTES = 16 * 1024**2


class Meter(Protocol):
    started: bool
    """The answer has begun, so that its input will be billed."""
    finished: bool
    """The last word about the usage was said."""

    def feed(self, chunk: bytes) -> None: ...

    def tokens(self) -> Tokens: ...


class StreamMeter:
    """Of server-sent events."""

    def __init__(self) -> None:
        self.started = False
        self.finished = False
        self._rest = b""
        self._tokens = Tokens()
        self._written_chars = 0

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_LIMIT_BYTES:
            self._rest = b""
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:])

    def tokens(self) -> Tokens:
        if self.finished:
            return self._tokens
        estimate = -(-self._written_chars // _CHARS_PER_TOKEN)
        return replace(self._tokens, output=max(self._tokens.output, estimate))

    def _event(self, data: bytes) -> None:
        body = _object(data)
        match body.get("type"):
            case "message_start":
                self.started = True
                self._take(_at(_at(body, "message"), "usage"))
            case "content_block_start":
                self._written_chars += len(json.dumps(_at(_at(body, "content_block"), "input")))
            case "content_block_delta":
                delta = _at(body, "delta")
                self._written_chars += sum(
                    len(delta[key]) for key in ("text", "thinking", "partial_json") if isinstance(delta.get(key), str)
                )
            case "message_delta":
                self._take(_at(body, "usage"))
                self.finished = self.started
            case _:
                pass

    def _take(self, usage: Mapping[str, Any]) -> None:
        self._tokens = _tokens(usage, self._tokens)


class WholeMeter:
    """Of one JSON message. What broke off before its end cannot be counted: it was not seen."""

    def __init__(self) -> None:
        self.started = False
        self.finished = False
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        self._pieces.append(chunk)

    def tokens(self) -> Tokens:
        usage = _at(_object(b"".join(self._pieces)), "usage")
        return _tokens(usage, Tokens())


def _tokens(usage: Mapping[str, Any], before: Tokens) -> Tokens:
    return Tokens(
        input=_count(usage, "input_tokens", before.input),
        output=_count(usage, "output_tokens", before.output),
        cache_read=_count(usage, "cache_read_input_tokens", before.cache_read),
        cache_write=_count(usage, "cache_creation_input_tokens", before.cache_write),
        cache_write_hour=_count(_at(usage, "cache_creation"), "ephemeral_1h_input_tokens", before.cache_write_hour),
    )


def _count(usage: Mapping[str, Any], key: str, before: int) -> int:
    value = usage.get(key)
    return value if isinstance(value, int) and value >= 0 else before


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):  # passed on as it is: what it means is the client's affair
        return {}
    return body if isinstance(body, dict) else {}


def _at(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key)
    return value if isinstance(value, dict) else {}
