"""How Claude Code is called: arguments, environment, and the lines on its stdin. No I/O."""

import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from bot.sandbox import HOME

PROGRAM = PurePosixPath("/opt/claude/claude")
CONFIG = HOME / ".claude"
MODEL_SOCKET = PurePosixPath("/run/model.sock")

_TOOLS = (
    "Bash",
    "Read",
    "Edit",
    "Write",
    "Glob",
    "Grep",
    "Agent",
    "TaskCreate",
    "TaskUpdate",
    "TaskList",
    "TaskGet",
)
_COMMAND_TIMEOUT_MS = 300_000
_COMMAND_TIMEOUT_LIMIT_MS = 1_200_000


@dataclass(frozen=True)
class ModelAccess:
    """The broker as seen from the sandbox; `socket` None where it is reached by the network."""

    token: str = field(repr=False)
    base_url: str = "http://model.invalid"
    socket: PurePosixPath | None = MODEL_SOCKET
    retries: int = 4
    """How often the program asks again when the broker does not answer."""


@dataclass(frozen=True)
class Order:
    """What one process of the program is to do. `resume`: the session exists already."""

    prompt: str = field(repr=False)
    model: str
    session_id: str
    access: ModelAccess
    resume: bool = False
    max_turns: int = 100


def argv(order: Order, program: PurePosixPath = PROGRAM) -> list[str]:
    """The repository's own settings, hooks and MCP servers are never read; its CLAUDE.md is in the prompt."""
    return [
        str(program),
        "-p",
        "--output-format=stream-json",
        "--input-format=stream-json",
        "--verbose",
        "--include-partial-messages",
        "--permission-mode=bypassPermissions",
        "--setting-sources=",
        "--strict-mcp-config",
        "--disable-slash-commands",
        f"--tools={','.join(_TOOLS)}",
        f"--max-turns={order.max_turns}",
        f"--model={order.model}",
        f"--resume={order.session_id}" if order.resume else f"--session-id={order.session_id}",
    ]


def environment(order: Order) -> dict[str, str]:
    """Besides what every program in a sandbox gets. All of it is visible to the commands that the agent runs."""
    access = order.access
    known = {
        "CLAUDE_CONFIG_DIR": str(CONFIG),
        "ANTHROPIC_BASE_URL": access.base_url,
        "ANTHROPIC_AUTH_TOKEN": access.token,
        # Subagents ask for a family of models; the run's broker lets only one model through.
        "ANTHROPIC_DEFAULT_OPUS_MODEL": order.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": order.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": order.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(access.retries),
        "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
        "CLAUDE_CODE_DISABLE_CRON": "1",
        "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
        "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
        "CLAUDE_CODE_ENABLE_TODO_TOOLS": "1",
        "BASH_DEFAULT_TIMEOUT_MS": str(_COMMAND_TIMEOUT_MS),
        "BASH_MAX_TIMEOUT_MS": str(_COMMAND_TIMEOUT_LIMIT_MS),
    }
    if access.socket:
        known["ANTHROPIC_UNIX_SOCKET"] = str(access.socket)
    return known


def user_line(text: str) -> bytes:
    """A message to the agent; `client_composed` keeps `@file` and `/command` in it from being acted on."""
    return _line(
        {
            "type": "user",
            "session_id": "",
            "message": {"role": "user", "content": text},
            "parent_tool_use_id": None,
            "client_composed": True,
        }
    )


def interrupt_line(request_id: str) -> bytes:
    return _line({"type": "control_request", "request_id": request_id, "request": {"subtype": "interrupt"}})


def _line(body: dict[str, object]) -> bytes:
    return json.dumps(body).encode() + b"\n"
