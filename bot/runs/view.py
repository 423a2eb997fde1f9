"""A run as its events tell it, folded into one value that all readers share. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import reduce

from bot import events as ev
from bot.model import CheckResult, Outcome, Stage, TriggerKind, Usage, When

EGRESS_REFUSED = "egress-refused"
"""The `error_type` of a host that the sandbox was kept from; the message begins with `host:port`."""

_MAX_ERRORS = 20
_MAX_HOSTS = 50
_GOOD = frozenset({Outcome.PULL_REQUEST, Outcome.COMMITS_PUSHED, Outcome.NO_CHANGES})
_ORDER = {stage: number for number, stage in enumerate(Stage)}


class StageState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """The run went on, or ended, without it."""


@dataclass(frozen=True)
class StageView:
    state: StageState = StageState.PENDING
    seconds: float = 0.0
    """Spent in it before `since`: a stage may be entered again."""
    since: datetime | None = None
    """Since when it is active; None when it is not."""
    entered: bool = False
    """Whether the run was ever in it."""

    def seconds_at(self, now: datetime) -> float:
        running = (now - self.since).total_seconds() if self.since else 0.0
        return self.seconds + max(0.0, running)


@dataclass(frozen=True)
class ToolCounts:
    reads: int = 0
    edits: int = 0
    writes: int = 0
    commands: int = 0
    others: int = 0

    @property
    def total(self) -> int:
        return self.reads + self.edits + self.writes + self.commands + self.others


@dataclass(frozen=True)
class RunView:
    """Everything but `stages` is as the latest event said."""

    last_seq: int = 0
    repo: str = ""
    prompt: str = ""
    trigger: TriggerKind | None = None
    actor: str = ""
    stage: Stage | None = None
    stages: Mapping[Stage, StageView] = field(default_factory=lambda: {stage: StageView() for stage in Stage})
    hint: str = ""
    """What the present stage says about itself."""
    percentage: int = 0
    todo: tuple[ev.TodoItem, ...] = ()
    last_message: str = ""
    tools: ToolCounts = ToolCounts()
    checks_before: tuple[CheckResult, ...] = ()
    checks_after: tuple[CheckResult, ...] = ()
    usage: Usage = field(default_factory=Usage)
    refused_hosts: tuple[str, ...] = ()
    pr: ev.PrCreated | None = None
    errors: tuple[ev.ErrorReport, ...] = ()
    complete: ev.Complete | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def outcome(self) -> Outcome | None:
        return self.complete.outcome if self.complete else None

    @property
    def failure(self) -> ev.ErrorReport | None:
        """The last error that the run did not get over."""
        return next((error for error in reversed(self.errors) if not error.recoverable), None)

    def elapsed_seconds(self, now: datetime) -> float:
        """Since the run was asked for; of an ended run, until then."""
        if self.started_at is None:
            return 0.0
        return max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


def view_of(events: Iterable[ev.StoredEvent]) -> RunView:
    return reduce(fold, events, RunView())


def fold(view: RunView, stored: ev.StoredEvent) -> RunView:
    """The view after one more event. An event that it has seen already changes nothing."""
    if stored.seq <= view.last_seq:
        return view
    view = replace(view, last_seq=stored.seq, started_at=view.started_at or stored.timestamp)
    event, at = stored.event, stored.timestamp
    match event:
        case ev.Start():
            view = replace(view, repo=event.repo, prompt=event.prompt, trigger=event.trigger, actor=event.actor)
            view = _entered(view, Stage.QUEUED, at)
        case ev.Progress():
            view = _entered(view, event.stage, at)
            view = replace(view, hint=event.message, percentage=max(view.percentage, event.percentage))
        case ev.Complete():
            view = _ended(view, event, at)
        case ev.Check():
            view = _checked(view, event)
        case ev.ErrorReport():
            view = _failed(view, event)
        case _:
            view = _noted(view, event)
    return view


def _noted(view: RunView, event: ev.Event) -> RunView:
    match event:
        case ev.AiMessage():
            spoken = not event.thinking and event.message.strip()
            return replace(view, last_message=event.message) if spoken else view
        case ev.Todo():
            return replace(view, todo=event.items)
        case ev.UsageReport():
            return replace(view, usage=_usage(event))
        case ev.PrCreated():
            return replace(view, pr=event)
        case _:
            return replace(view, tools=_counted(view.tools, event))


def _entered(view: RunView, stage: Stage, at: datetime) -> RunView:
    if stage is view.stage and view.stages[stage].state is StageState.ACTIVE:
        return view
    stages = dict(view.stages)
    for other, seen in view.stages.items():
        state = StageState.PENDING
        if _ORDER[other] < _ORDER[stage]:
            state = StageState.DONE if seen.entered else StageState.SKIPPED
        stages[other] = StageView(state, seen.seconds_at(at), entered=seen.entered)
    stages[stage] = StageView(StageState.ACTIVE, stages[stage].seconds, at, entered=True)
    return replace(view, stage=stage, stages=stages, hint="")


def _ended(view: RunView, complete: ev.Complete, at: datetime) -> RunView:
    good = complete.outcome in _GOOD
    stages = {}
    for stage, seen in view.stages.items():
        state = seen.state
        if state is StageState.ACTIVE:
            state = StageState.DONE if good else StageState.FAILED
        elif state is StageState.PENDING:
            state = StageState.SKIPPED
        stages[stage] = StageView(state, seen.seconds_at(at), entered=seen.entered)
    percentage = 100 if good else view.percentage
    return replace(view, stages=stages, complete=complete, ended_at=at, hint="", percentage=percentage)


def _checked(view: RunView, event: ev.Check) -> RunView:
    result = CheckResult(event.command, event.exit_code, event.seconds, event.when, event.output)
    if event.when is When.BEFORE:
        return replace(view, checks_before=_with(view.checks_before, result))
    return replace(view, checks_after=_with(view.checks_after, result))


def _with(results: tuple[CheckResult, ...], result: CheckResult) -> tuple[CheckResult, ...]:
    """A check that ran again counts as it ran last, at its old place."""
    by_command = {known.command: known for known in results}
    by_command[result.command] = result
    return tuple(by_command.values())


def _failed(view: RunView, event: ev.ErrorReport) -> RunView:
    if event.error_type != EGRESS_REFUSED:
        return replace(view, errors=(*view.errors, event)[-_MAX_ERRORS:])
    host = next(iter(event.message.split()), "")
    if not host or host in view.refused_hosts or len(view.refused_hosts) >= _MAX_HOSTS:
        return view
    return replace(view, refused_hosts=(*view.refused_hosts, host))


def _usage(event: ev.UsageReport) -> Usage:
    return Usage(
        event.input_tokens, event.output_tokens, event.cache_read_tokens, event.cache_write_tokens, event.cost_usd
    )


def _counted(tools: ToolCounts, event: ev.Event) -> ToolCounts:
    match event:
        case ev.ToolRead():
            return replace(tools, reads=tools.reads + 1)
        case ev.ToolEdit():
            return replace(tools, edits=tools.edits + 1)
        case ev.ToolWrite():
            return replace(tools, writes=tools.writes + 1)
        case ev.ToolBash():
            return replace(tools, commands=tools.commands + 1)
        case _:
            return replace(tools, others=tools.others + 1)
