"""What a run says about itself: typed events and the one JSON codec (the contract's "Events"). No I/O."""

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeAlias

from bot.model import Outcome, RunId, Stage, TriggerKind, When


@dataclass(frozen=True)
class Start:
    TYPE: ClassVar[str] = "start"
    repo: str
    prompt: str
    trigger: TriggerKind
    actor: str


@dataclass(frozen=True)
class Progress:
    TYPE: ClassVar[str] = "progress"
    stage: Stage
    message: str
    percentage: int


@dataclass(frozen=True)
class ToolRead:
    TYPE: ClassVar[str] = "Tool: Read"
    filepath: str


@dataclass(frozen=True)
class ToolEdit:
    TYPE: ClassVar[str] = "Tool: Edit"
    filepath: str
    old_str: str
    new_str: str


@dataclass(frozen=True)
class ToolWrite:
    TYPE: ClassVar[str] = "Tool: Write"
    filepath: str
    content: str


@dataclass(frozen=True)
class ToolBash:
    TYPE: ClassVar[str] = "Tool: Bash"
    command: str
    output: str
    exit_code: int | None


@dataclass(frozen=True)
class ToolOther:
    """Any other tool; `name` becomes part of the type: `Tool: Grep`."""

    TYPE: ClassVar[str] = "Tool: "
    name: str
    input: str


@dataclass(frozen=True)
class AiMessage:
    TYPE: ClassVar[str] = "AI Message"
    message: str
    thinking: bool = False


@dataclass(frozen=True)
class TodoItem:
    text: str
    state: str
    """`pending`, `in_progress` or `completed`."""


@dataclass(frozen=True)
class Todo:
    TYPE: ClassVar[str] = "todo"
    items: tuple[TodoItem, ...]


@dataclass(frozen=True)
class Check:
    TYPE: ClassVar[str] = "check"
    command: str
    exit_code: int
    seconds: float
    when: When
    output: str


@dataclass(frozen=True)
class UsageReport:
    """Cumulative for the run, by the broker's count."""

    TYPE: ClassVar[str] = "usage"
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float


@dataclass(frozen=True)
class PrCreated:
    TYPE: ClassVar[str] = "pr_created"
    pr_url: str
    pr_number: int
    branch_name: str
    files_changed: int
    additions: int
    deletions: int
    summary: str


@dataclass(frozen=True)
class ErrorReport:
    TYPE: ClassVar[str] = "error"
    error_type: str
    message: str
    recoverable: bool


@dataclass(frozen=True)
class Complete:
    """Always the last event of a run."""

    TYPE: ClassVar[str] = "complete"
    outcome: Outcome
    summary: str
    duration_seconds: float
    cost_usd: float
    pr_url: str | None = None


Event: TypeAlias = (
    Start
    | Progress
    | ToolRead
    | ToolEdit
    | ToolWrite
    | ToolBash
    | ToolOther
    | AiMessage
    | Todo
    | Check
    | UsageReport
    | PrCreated
    | ErrorReport
    | Complete
)

_CLASSES: tuple[type[Event], ...] = (
    Start,
    Progress,
    ToolRead,
    ToolEdit,
    ToolWrite,
    ToolBash,
    AiMessage,
    Todo,
    Check,
    UsageReport,
    PrCreated,
    ErrorReport,
    Complete,
)
_BY_TYPE: dict[str, type[Event]] = {cls.TYPE: cls for cls in _CLASSES}
_ENUMS = {"trigger": TriggerKind, "stage": Stage, "when": When, "outcome": Outcome}


@dataclass(frozen=True)
class StoredEvent:
    """An event with its place in the run's log; `seq` starts at 1 and has no gaps."""

    seq: int
    run_id: RunId
    timestamp: datetime
    event: Event


def encode(event: Event) -> dict[str, Any]:
    """The event's own fields and its `type`, as JSON types."""
    if isinstance(event, ToolOther):
        return {"type": event.TYPE + event.name, "input": event.input}
    body = {key: value for key, value in asdict(event).items() if value is not None}
    if isinstance(event, ToolBash):
        body["exit_code"] = event.exit_code
    if isinstance(event, Todo):
        body["items"] = [asdict(item) for item in event.items]
    return {"type": event.TYPE, **body}


def decode(body: dict[str, Any]) -> Event:
    """The inverse of `encode`. Raises ValueError for a type this version does not know."""
    kind = str(body["type"])
    cls = _BY_TYPE.get(kind)
    if cls is None:
        if kind.startswith(ToolOther.TYPE):
            return ToolOther(name=kind.removeprefix(ToolOther.TYPE), input=str(body["input"]))
        raise ValueError(f"unknown event type {kind!r}")
    values = {f.name: body[f.name] for f in fields(cls) if f.name in body}
    for name, enum in _ENUMS.items():
        if name in values:
            values[name] = enum(values[name])
    if cls is Todo:
        values["items"] = tuple(TodoItem(**item) for item in values["items"])
    return cls(**values)


def wire(stored: StoredEvent) -> dict[str, Any]:
    """What a reader outside gets: the contract's JSON of one event."""
    encoded = encode(stored.event)
    stamp = stored.timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {
        "type": encoded.pop("type"),
        "request_id": stored.run_id,
        "timestamp": stamp,
        **encoded,
    }


def unwire(seq: int, body: dict[str, Any]) -> StoredEvent:
    """The inverse of `wire`. Raises KeyError, TypeError or ValueError for what this version does not know."""
    stamp = datetime.fromisoformat(str(body["timestamp"]))
    return StoredEvent(seq, RunId(str(body["request_id"])), stamp, decode(body))
