"""The one comment of a run, from its first words to its outcome. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.events import StoredEvent, TodoItem
from bot.markdown import Where, cut, sanitise, sanitise_line
from bot.model import Outcome, RunId, Stage
from bot.runs.view import RunView, StageState, view_of
from bot.wording import outcome
from bot.wording.amounts import count, duration, used
from bot.wording.evidence import details
from bot.wording.marker import marker

__all__ = ["Frame", "first_comment", "marker", "progress_comment", "stage_name"]

MAX_CHARACTERS = 60_000
"""GitHub's limit is 65,536."""

_LAST_WORDS_CHARACTERS = 500
_LAST_WORDS_READ = 5_000
_TODO_CHARACTERS = 200
_TODO_SHOWN = 12
_MAX_TODO = 40
_HINT_CHARACTERS = 200

_STAGES = {
    Stage.QUEUED: "Wait for its turn",
    Stage.AUTHORIZING: "Check who asks",
    Stage.CLONING: "Clone the repository",
    Stage.ANALYZING: "Prepare the sandbox",
    Stage.CODING: "Write the change",
    Stage.VERIFYING: "Run the checks",
    Stage.COMMITTING: "Commit",
    Stage.PUSHING: "Push the branch",
    Stage.PR_CREATION: "Open the pull request",
}
_MARKS = {
    StageState.PENDING: "▫️",
    StageState.ACTIVE: "⏳",
    StageState.DONE: "✅",
    StageState.FAILED: "❌",
    StageState.SKIPPED: "▫️",
}


@dataclass(frozen=True)
class Frame:
    """What the events do not tell."""

    run_id: RunId
    repo: str
    run_url: str = ""
    budget_usd: float | None = None
    model: str = ""
    queue_ahead: int | None = None
    """How many runs come first; None when it does not wait."""
    command: str = "/backspace"
    stop_reason: str = ""
    """Why it was stopped, when nobody in the thread asked for that."""
    checks_round: int = 0
    """How often failing checks were handed back, this time included; 0 for what people ask."""
    sandbox_usd: float = 0.0
    """What the sandboxes of a run that has ended cost; 0 where nobody pays for them."""


def progress_comment(view: RunView, frame: Frame, now: datetime) -> str:
    """The state of the run at `now`: under way, or how it ended."""
    if view.complete is not None:
        told = outcome.Told(
            frame.repo,
            frame.run_url,
            frame.budget_usd,
            frame.model,
            frame.command,
            frame.stop_reason,
            frame.checks_round,
            frame.sandbox_usd,
        )
        parts = outcome.parts(view, view.complete, told)
        parts.append(details("What was done", stages(view)) if _began(view) else "")
    else:
        parts = [_status(view, frame, now), stages(view, queued=frame.queue_ahead is not None)]
        parts += [_todo(view.todo, frame.repo), _last_words(view.last_message, frame.repo), _links(frame)]
    return cut(marker(frame.run_id) + "\n" + "\n\n".join(filter(None, parts)), MAX_CHARACTERS)


def first_comment(
    run_id: RunId,
    events: Iterable[StoredEvent],
    *,
    run_url: str = "",
    command: str = "/backspace",
    checks_round: int = 0,
    now: datetime,
) -> str:
    """What is posted before anything else is known."""
    view = view_of(events)
    frame = Frame(run_id, view.repo, run_url, command=command, checks_round=checks_round)
    return progress_comment(view, frame, now)


def _began(view: RunView) -> bool:
    """Whether it came further than to the question who asks."""
    asking = (Stage.QUEUED, Stage.AUTHORIZING)
    return any(seen.entered for stage, seen in view.stages.items() if stage not in asking)


def stage_name(stage: Stage) -> str:
    return _STAGES[stage]


def queued(ahead: int) -> str:
    """`queued, 2 ahead`."""
    return f"queued, {ahead} ahead" if ahead else "queued, next in line"


def stages(view: RunView, *, queued: bool = False) -> str:
    """The stages as a checklist."""
    lines = []
    for stage, seen in view.stages.items():
        if stage is Stage.QUEUED or (stage is Stage.PR_CREATION and view.outcome is Outcome.COMMITS_PUSHED):
            continue
        # Whoever waits in the queue is through with the stage that sent him there.
        state = StageState.DONE if queued and seen.state is StageState.ACTIVE else seen.state
        name = f"**{_STAGES[stage]}**" if state is StageState.ACTIVE else _STAGES[stage]
        lines.append(f"- {_MARKS[state]} {name}{_about(view, stage, state, queued=queued)}")
    return "\n".join(lines)


def _about(view: RunView, stage: Stage, state: StageState, *, queued: bool) -> str:
    seconds = view.stages[stage].seconds
    match state:
        case StageState.ACTIVE:
            return _hint(view)
        case StageState.SKIPPED:
            return ": skipped"
        case StageState.DONE if not queued:
            failing = sum(check.exit_code != 0 for check in view.checks_after) if stage is Stage.VERIFYING else 0
            result = f": {failing} of {len(view.checks_after)} fail" if failing else ""
            return (f" ({duration(seconds)})" if seconds >= 1 else "") + result
        case _:
            return ""


def _hint(view: RunView) -> str:
    words = sanitise_line(view.hint, _HINT_CHARACTERS, where=Where.COMMENT, repo=view.repo)
    tools = view.tools
    done = [
        count(tools.edits + tools.writes, "edit") if tools.edits + tools.writes else "",
        count(tools.commands, "command") if tools.commands else "",
    ]
    counts = ", ".join(filter(None, done)) if view.stage is Stage.CODING else ""
    said = f"{words} ({counts})" if words and counts else words or counts
    return f": {said}" if said else ""


def _status(view: RunView, frame: Frame, now: datetime) -> str:
    if frame.queue_ahead is not None:
        head = f"**{queued(frame.queue_ahead).capitalize()}**"
    else:
        head = "**Backspace is on it**"
    head += outcome.after_checks(frame.checks_round)
    facts = [duration(view.elapsed_seconds(now))]
    if frame.budget_usd is not None or view.usage.cost_usd:
        facts.append(used(view.usage.cost_usd, frame.budget_usd))
    return " · ".join([head, *facts])


def _todo(items: tuple[TodoItem, ...], repo: str) -> str:
    lines = [_todo_line(item, repo) for item in items[:_MAX_TODO]]
    if not lines:
        return ""
    if len(items) > _MAX_TODO:
        lines.append(f"- and {len(items) - _MAX_TODO} more")
    done = sum(item.state == "completed" for item in items)
    title = f"The agent's list, {done} of {len(items)} done"
    return details(title, "\n".join(lines)) if len(lines) > _TODO_SHOWN else f"{title}:\n\n" + "\n".join(lines)


def _todo_line(item: TodoItem, repo: str) -> str:
    box = "[x]" if item.state == "completed" else "[ ]"
    text = sanitise_line(item.text, _TODO_CHARACTERS, where=Where.COMMENT, repo=repo) or "…"
    return f"- {box} {text}" + (" ⏳" if item.state == "in_progress" else "")


def _last_words(message: str, repo: str) -> str:
    if not message.strip():
        return ""
    # This is done again and again while the agent talks, so only what may be shown is read.
    head = message[:_LAST_WORDS_READ]
    safe = sanitise(head, where=Where.COMMENT, repo=repo)
    words = cut(safe, _LAST_WORDS_CHARACTERS, beyond=len(message) - len(head))
    return "\n".join(f"> {line}".rstrip() for line in words.split("\n")) if words else ""


def _links(frame: Frame) -> str:
    follow = f"[Follow the run]({frame.run_url})" if frame.run_url else ""
    more = f"`{frame.command} --add <more>` tells the agent at work more"
    stop = f"`{frame.command} stop` ends {'this' if frame.queue_ahead is not None else 'it'}"
    # Without anyone at work in the thread there is nobody to tell.
    return " · ".join(filter(None, [follow, more if frame.queue_ahead != 0 else "", stop]))
