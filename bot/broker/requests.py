"""What a request to the model asks for, and what is refused before it costs anything. No I/O."""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

BODY_LIMIT_BYTES = 40 * 1024**2
"""The API itself takes 32 MB."""

_CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "memory_", "computer_")
_NESTING_LIMIT = 4


@dataclass(frozen=True)
class ModelRequest:
    model: str
    stream: bool


@dataclass(frozen=True)
class Refusal:
    """An answer of ours in the API's own form; the message reaches the run's last words."""

    status: int
    kind: str
    message: str

    def body(self) -> bytes:
        error = {"type": self.kind, "message": self.message}
        return json.dumps({"type": "error", "error": error}).encode()


UNKNOWN_TOKEN = Refusal(403, "permission_error", "unknown run token")
NOT_YET = Refusal(503, "api_error", "the run is being taken up again")
REVOKED = Refusal(403, "permission_error", "run cancelled")
NO_SUCH_PATH = Refusal(404, "not_found_error", "this path is not served for runs")
TOO_LARGE = Refusal(413, "request_too_large", f"request larger than {BODY_LIMIT_BYTES // 1024**2} MB")
UNREACHABLE = Refusal(502, "api_error", "the model API cannot be reached")


def budget_used_up(budget_usd: float) -> Refusal:
    return Refusal(402, "billing_error", f"run budget of ${budget_usd:.2f} is used up")


def read_request(body: bytes, allowed_models: Collection[str]) -> ModelRequest | Refusal:
    """`allowed_models` empty allows every model."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        return Refusal(400, "invalid_request_error", "the body is not JSON")
    if not isinstance(given, dict) or not isinstance(given.get("model"), str):
        return Refusal(400, "invalid_request_error", "the body names no model")
    model: str = given["model"]
    if allowed_models and model not in allowed_models:
        return Refusal(403, "permission_error", f"model {model[:100]} is not allowed for this run")
    if way_out := _way_out(given):
        return Refusal(403, "permission_error", f"{way_out} is not allowed: it would leave the sandbox")
    return ModelRequest(model, given.get("stream") is True)


def _way_out(given: dict[str, Any]) -> str:
    """What would let the model's side fetch addresses for code in the sandbox, which has no network."""
    if given.get("mcp_servers"):
        return "mcp_servers"
    for tool in _objects(given.get("tools")):
        kind = tool.get("type")
        if isinstance(kind, str) and not kind.startswith(_CLIENT_TOOLS):
            return f"the server tool {kind[:100]}"
    for message in _objects(given.get("messages")):
        if _has_address(message.get("content"), _NESTING_LIMIT):
            return "a source by address"
    return ""


def _has_address(content: object, depth: int) -> bool:
    for block in _objects(content):
        source = block.get("source")
        if isinstance(source, dict) and source.get("type") == "url":
            return True
        if depth and any(_has_address(inner, depth - 1) for inner in (block.get("content"), source)):
            return True
    return False


def _objects(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
