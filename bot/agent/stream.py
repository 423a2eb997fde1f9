"""Claude Code's stdout folded into the run's events, and into the facts that its ending is judged by. No I/O.

A translator is rebuilt after a restart by feeding it the same lines from the first one on; it says the same again.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.agent.messages import (
    ApiFailure,
    Assistant,
    BashCall,
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
    TaskUpdateCall,
    Text,
    Thinking,
    ToolResult,
    ToolResults,
    WriteCall,
)
from bot.agent.parsing import MalformedMessage, parse
from bot.events import (
    AiMessage,
    ErrorReport,
    Event,
    Todo,
    TodoItem,
    ToolBash,
    ToolEdit,
    ToolOther,
    ToolRead,
    ToolWrite,
)
from bot.sandbox import REPO

MESSAGE_LIMIT = 20_000
EDIT_LIMIT = 10_000
CONTENT_LIMIT = 20_000
COMMAND_LIMIT = 4_000
OUTPUT_LIMIT = 10_000
INPUT_LIMIT = 2_000
PATH_LIMIT = 1_000
ACTIVITY_LIMIT = 120
TODO_LIMIT = 100
"""All in characters, but the last: items."""

_BUILTIN_AGENTS = frozenset({"claude", "Explore", "general-purpose", "Plan", "statusline-setup"})
_EXIT_CODE = re.compile(r"(?:Error: )?Exit code (\d+)\n?")
_STREAM_CLOSED = "Stream closed"
_REPO_PREFIX = f"{REPO}/"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of the text, and how many more there were."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… [cut, {len(text) - limit} more characters]"


def cut_middle(text: str, limit: int) -> str:
    """The same for output, whose end says more than its middle."""
    if len(text) <= limit:
        return text
    head, tail = limit // 4, limit - limit // 4
    return f"{text[:head]}\n… [cut, {len(text) - limit} more characters]\n{text[-tail:]}"


@dataclass(frozen=True)
class Facts:
    """What the stream said, as far as its ending is judged by it."""

    session_id: str = ""
    result: Result | None = None
    failure: ApiFailure | None = None
    denials: int = 0
    stream_closed: bool = False
    foreign: tuple[str, ...] = ()
    """Configuration in the stream's beginning that is not ours: hooks, MCP servers, agents."""
    changes: int = 0
    """Edits, writes and commands that went through."""
    retries: tuple[str, ...] = ()
    malformed_lines: int = 0


@dataclass
class _Task:
    text: str
    state: str = "pending"


@dataclass
class Translator:
    """Feed it the lines as they come. `todo` is the list of an earlier process whose session goes on here."""

    todo: Todo | None = None
    _calls: dict[str, Call] = field(default_factory=dict)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _shown_todo: tuple[TodoItem, ...] = ()
    _session_id: str = ""
    _result: Result | None = None
    _failure: ApiFailure | None = None
    _denials: int = 0
    _stream_closed: bool = False
    _foreign: list[str] = field(default_factory=list)
    _changes: int = 0
    _retries: list[str] = field(default_factory=list)
    _malformed: int = 0
    activity: str = "starting"
    """What the agent does now, in a few words."""

    def __post_init__(self) -> None:
        if self.todo:
            # Tasks are numbered from 1 in the order of their making.
            self._tasks = {str(number): _Task(item.text, item.state) for number, item in enumerate(self.todo.items, 1)}
            self._shown_todo = self.todo.items

    @property
    def tools_running(self) -> int:
        return len(self._calls)

    @property
    def facts(self) -> Facts:
        return Facts(
            session_id=self._session_id,
            result=self._result,
            failure=self._failure,
            denials=self._denials,
            stream_closed=self._stream_closed,
            foreign=tuple(dict.fromkeys(self._foreign)),
            changes=self._changes,
            retries=tuple(self._retries),
            malformed_lines=self._malformed,
        )

    def finish(self) -> list[Event]:
        """The stream is over: commands that never came back are shown as such."""
        return self._abandoned()

    def feed(self, line: bytes) -> list[Event]:
        """What one line of stdout means for the run's readers."""
        try:
            message = parse(line) if line.strip() else None
        except MalformedMessage:
            # Code in the sandbox shares a user with the program and can write into its stdout.
            self._malformed += 1
            return []
        return [] if message is None else list(self._message(message))

    def _message(self, message: Message) -> Iterable[Event]:
        events: Iterable[Event] = ()
        match message:
            case Init():
                self._begin(message)
            case Assistant():
                events = self._assistant(message)
            case ToolResults():
                events = [event for result in message.results for event in self._tool_result(result)]
            case Retry():
                events = [self._retry(message)]
            case ApiFailure():
                self._failure = message
            case Denied():
                self._denials += 1
            case Hook(name):
                self._foreign.append(f"hook {name}")
            case Partial() if not self._calls:
                self.activity = "answering"
            case Result():
                events = self._end(message)
            case _:
                pass
        return events

    def _begin(self, message: Init) -> None:
        self._session_id = message.session_id
        self._foreign += [f"MCP server {name}" for name in message.mcp_servers]
        self._foreign += [f"agent {name}" for name in message.agents if name not in _BUILTIN_AGENTS]
        self.activity = "thinking"

    def _assistant(self, message: Assistant) -> list[Event]:
        events: list[Event] = []
        self._failure = None
        for block in message.blocks:
            match block:
                case Text(text) | Thinking(text):
                    # A subagent's words reach the reader as its result, in the agent's own.
                    if message.parent is None and text.strip():
                        events.append(AiMessage(cut(text, MESSAGE_LIMIT), isinstance(block, Thinking)))
                    self.activity = "thinking" if isinstance(block, Thinking) else "answering"
                case _:
                    self._calls[block.id] = block
                    self.activity = cut(_doing(block), ACTIVITY_LIMIT)
        return events

    def _tool_result(self, result: ToolResult) -> list[Event]:
        call = self._calls.pop(result.call_id, None)
        self.activity = "thinking" if not self._calls else self.activity
        if result.is_error and _STREAM_CLOSED in result.text:
            self._stream_closed = True
        if call is None:
            return []
        if isinstance(call, BashCall):
            self._changes += not result.is_error
            return [_bash_result(call, result)]
        if isinstance(call, TaskCreateCall | TaskUpdateCall) or result.tasks:
            return self._task_result(call, result)
        if result.is_error:
            return [_failed(call, result)]
        self._changes += isinstance(call, EditCall | WriteCall)
        return [_succeeded(call)]

    def _task_result(self, call: Call, result: ToolResult) -> list[Event]:
        for fact in result.tasks:
            known = self._tasks.get(fact.id)
            if known is None:
                subject = fact.subject or (call.subject if isinstance(call, TaskCreateCall) else None)
                if subject is not None:
                    self._tasks[fact.id] = _Task(subject, fact.status or "pending")
            elif isinstance(call, TaskUpdateCall):
                # A list may be older than a change whose result came first, so only a change changes.
                known.state = fact.status or known.state
        if isinstance(call, TaskUpdateCall) and not result.is_error:
            self._change_task(call)
        items = tuple(
            TodoItem(cut(task.text, INPUT_LIMIT), task.state) for task in list(self._tasks.values())[:TODO_LIMIT]
        )
        if items == self._shown_todo:
            return []
        self._shown_todo = items
        return [Todo(items)]

    def _change_task(self, call: TaskUpdateCall) -> None:
        known = self._tasks.get(call.task)
        if known is None:
            return
        if call.status == "deleted":
            del self._tasks[call.task]
            return
        known.state = call.status or known.state
        known.text = call.subject or known.text

    def _retry(self, message: Retry) -> ErrorReport:
        what = f"{message.error}, HTTP {message.status}" if message.status else "no connection"
        self._retries.append(what)
        self.activity = f"waiting for the model API ({what})"
        return ErrorReport(
            error_type=f"model-{message.error.replace('_', '-')}",
            message=f"The model API did not answer ({what}); "
            f"trying again in {message.delay_seconds:.0f} s ({message.attempt} of {message.attempts}).",
            recoverable=True,
        )

    def _end(self, message: Result) -> list[Event]:
        self._result = message
        self._denials = max(self._denials, message.denials)
        self.activity = "finished"
        return self._abandoned()

    def _abandoned(self) -> list[Event]:
        commands = [call for call in self._calls.values() if isinstance(call, BashCall)]
        self._calls.clear()
        return [_bash(call, "[it was still running when the agent ended]", None) for call in commands]


def _relative(path: str) -> str:
    return cut(path.removeprefix(_REPO_PREFIX), PATH_LIMIT)


def _doing(call: Call) -> str:
    match call:
        case ReadCall(_, path):
            return f"reading {_relative(path)}"
        case EditCall(_, path) | WriteCall(_, path):
            return f"writing {_relative(path)}"
        case BashCall(_, command):
            return f"running {command}"
        case OtherCall(_, name):
            return f"using {name}"
        case _:
            return "planning"


def _succeeded(call: Call) -> Event:
    match call:
        case ReadCall(_, path):
            return ToolRead(_relative(path))
        case EditCall(_, path, old, new):
            return ToolEdit(_relative(path), cut(old, EDIT_LIMIT), cut(new, EDIT_LIMIT))
        case WriteCall(_, path, content):
            return ToolWrite(_relative(path), cut(content, CONTENT_LIMIT))
        case OtherCall(_, name, given):
            return ToolOther(name, cut(given.replace(_REPO_PREFIX, ""), INPUT_LIMIT))
        case _:
            return ToolOther(type(call).__name__.removesuffix("Call"), "")


def _failed(call: Call, result: ToolResult) -> ToolOther:
    """What was refused or went wrong must not look like what was done."""
    name, target = type(call).__name__.removesuffix("Call"), ""
    match call:
        case ReadCall(_, path) | EditCall(_, path) | WriteCall(_, path):
            target = _relative(path)
        case OtherCall(_, name, given):
            target = given.replace(_REPO_PREFIX, "")
        case _:
            pass
    why = result.text.removeprefix("<tool_use_error>").removesuffix("</tool_use_error>")
    return ToolOther(f"{name} failed", json.dumps({"on": cut(target, INPUT_LIMIT), "why": cut(why, INPUT_LIMIT)}))


def _bash_result(call: BashCall, result: ToolResult) -> ToolBash:
    if result.bash is not None:
        output = "\n".join(part for part in (result.bash.stdout, result.bash.stderr) if part)
        return _bash(call, output, None if result.bash.interrupted else 0)
    if not result.is_error:
        return _bash(call, result.text, 0)
    if match := _EXIT_CODE.match(result.text):
        return _bash(call, result.text[match.end() :], int(match.group(1)))
    return _bash(call, result.text, None)


def _bash(call: BashCall, output: str, exit_code: int | None) -> ToolBash:
    return ToolBash(cut(call.command, COMMAND_LIMIT), cut_middle(output, OUTPUT_LIMIT), exit_code)
