"""What a line of Claude Code's stdout says, as far as it matters here. No I/O."""

from dataclasses import dataclass
from typing import TypeAlias

from bot.model import Usage


@dataclass(frozen=True)
class Init:
    """The program is ready for a turn. Comes again for every later turn of the same process."""

    session_id: str
    model: str
    mcp_servers: tuple[str, ...]
    agents: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Thinking:
    text: str


@dataclass(frozen=True)
class ReadCall:
    id: str
    path: str


@dataclass(frozen=True)
class EditCall:
    id: str
    path: str
    old: str
    new: str


@dataclass(frozen=True)
class WriteCall:
    id: str
    path: str
    content: str


@dataclass(frozen=True)
class BashCall:
    id: str
    command: str


@dataclass(frozen=True)
class TaskCreateCall:
    id: str
    subject: str


@dataclass(frozen=True)
class TaskUpdateCall:
    id: str
    task: str
    status: str | None
    subject: str | None


@dataclass(frozen=True)
class OtherCall:
    """Any other tool; `input` is its JSON text."""

    id: str
    name: str
    input: str


Call: TypeAlias = ReadCall | EditCall | WriteCall | BashCall | TaskCreateCall | TaskUpdateCall | OtherCall
Block: TypeAlias = Text | Thinking | Call


@dataclass(frozen=True)
class Assistant:
    """One line is one content block of the model's message, so lines share a `message_id`."""

    message_id: str
    blocks: tuple[Block, ...]
    parent: str | None
    """The tool call of the subagent that speaks; None for the agent itself."""


@dataclass(frozen=True)
class ApiFailure:
    """The program's own words in place of the model's: the API failed for good."""

    error: str
    text: str


@dataclass(frozen=True)
class BashOutput:
    stdout: str
    stderr: str
    interrupted: bool


@dataclass(frozen=True)
class TaskFact:
    """What a task tool's result says of one task; None where it says nothing."""

    id: str
    subject: str | None
    status: str | None


@dataclass(frozen=True)
class ToolResult:
    call_id: str
    text: str
    is_error: bool
    bash: BashOutput | None = None
    tasks: tuple[TaskFact, ...] = ()


@dataclass(frozen=True)
class ToolResults:
    results: tuple[ToolResult, ...]
    parent: str | None


@dataclass(frozen=True)
class Retry:
    """The program will ask the API again. `status` None: the connection failed."""

    attempt: int
    attempts: int
    delay_seconds: float
    status: int | None
    error: str


@dataclass(frozen=True)
class Denied:
    """The permission mode kept a tool from running."""

    tool: str
    call_id: str


@dataclass(frozen=True)
class Hook:
    """A hook ran: configuration that is not ours was loaded."""

    name: str


@dataclass(frozen=True)
class Partial:
    """A piece of an answer that is still being written; the whole block follows as an Assistant line."""


@dataclass(frozen=True)
class Result:
    """The end of a turn, by the program. `usage` is its own count: information, not the bill."""

    subtype: str
    is_error: bool
    text: str
    errors: tuple[str, ...]
    terminal_reason: str
    api_error_status: int | None
    api_error: str
    denials: int
    turns: int
    session_id: str
    usage: Usage
    queued_turns: int


Message: TypeAlias = Init | Assistant | ApiFailure | ToolResults | Retry | Denied | Hook | Partial | Result
