"""A run in plain words: one line per fact. No I/O."""

from collections.abc import Iterator

from bot import events as ev
from bot.markdown import one_line
from bot.runs.view import EGRESS_REFUSED, RunView
from bot.terminal.answers import Run
from bot.wording.amounts import changes, count, duration, money, used

_MOST_CHARACTERS = 300
_ID_CHARACTERS = 36
_LABEL_CHARACTERS = 13
_SINCE_CHARACTERS = 7


def of_event(stored: ev.StoredEvent, view: RunView) -> Iterator[str]:
    """`view` has the event in it already."""
    since = f"{duration(view.elapsed_seconds(stored.timestamp)):>{_SINCE_CHARACTERS}}"
    for label, words in facts(stored.event):
        yield f"{since}  {label:<{_LABEL_CHARACTERS}} {words}".rstrip()


def facts(event: ev.Event) -> Iterator[tuple[str, str]]:  # noqa: C901, PLR0912 -- one case per kind of event
    """A word for what it is, and what it says, safe to show on a terminal."""
    match event:
        case ev.Start():
            yield "asked", _shown(f"{event.actor} in {event.repo}: {event.prompt}")
        case ev.Progress():
            yield event.stage, _shown(event.message)
        case ev.AiMessage(message, thinking):
            if not thinking and message.strip():
                yield "says", _shown(message)
        case ev.ToolRead(filepath):
            yield "read", _shown(filepath)
        case ev.ToolEdit():
            yield "edited", _shown(event.filepath)
        case ev.ToolWrite():
            yield "wrote", _shown(event.filepath)
        case ev.ToolBash():
            yield "ran", _shown(event.command) + _failed(event.exit_code)
        case ev.ToolOther():
            yield "used", _shown(f"{event.name} {event.input}")
        case ev.Todo(items):
            done = sum(item.state == "completed" for item in items)
            now = next((item.text for item in items if item.state == "in_progress"), "")
            yield "to do", _shown(f"{done} of {len(items)} done" + (f"; now: {now}" if now else ""))
        case ev.Check():
            yield f"check {event.when}", f"{_shown(event.command)} → exit code {event.exit_code}"
        case ev.ErrorReport():
            kind = "kept from" if event.error_type == EGRESS_REFUSED else "error"
            yield kind, _shown(event.message if kind == "kept from" else f"{event.error_type}: {event.message}")
        case ev.PrCreated():
            yield "pull request", _shown(event.pr_url)
            yield "changed", changes(event.files_changed, event.additions, event.deletions)
        case ev.Complete():
            yield "answer", _shown(event.summary)
            yield event.outcome, f"after {duration(event.duration_seconds)}, {money(event.cost_usd)}"
        case ev.UsageReport():
            pass


def of_run(run: Run, complete: ev.Complete | None) -> Iterator[str]:
    """What is known of it; `complete` is its last event, once it has ended."""
    thread = f"{run.repo}#{run.issue}" if run.issue else run.repo
    told = {
        "run": run.request_id,
        "asked": _shown(f"{run.actor} in {thread}: {run.prompt}"),
        "state": state(run),
        "created": f"{run.created_at:%Y-%m-%d %H:%M:%S %Z}",
        "took": duration((run.finished_at - run.created_at).total_seconds()) if run.finished_at else "",
        "model": _shown(run.model or ""),
        "cost": used(run.cost_usd, run.budget_usd),
        "branch": _shown(run.branch or ""),
        "pull request": _shown(_pull(run)),
        "answer": _shown(complete.summary) if complete else "",
    }
    for label, words in told.items():
        if words:
            yield f"{label:<{_LABEL_CHARACTERS}} {words}"


def of_runs(run: Run) -> str:
    """One line of a list."""
    when = f"{run.created_at:%Y-%m-%d %H:%M}"
    where = f"{run.repo}#{run.issue}" if run.issue else run.repo
    return (
        f"{run.request_id:<{_ID_CHARACTERS}}  {when}  {state(run):<15}  {money(run.cost_usd):>7}  "
        f"{_shown(where)}  {_shown(run.prompt, 60)}"
    )


def state(run: Run) -> str:
    return _shown(run.outcome or run.state)


def status(view: RunView, seconds: float) -> str:
    """What is going on, in a line; `seconds` since it was asked for."""
    parts = [
        str(view.outcome or view.stage or "waiting for its first event"),
        _shown(view.hint, 60),
        duration(seconds),
        money(view.usage.cost_usd) if view.usage.cost_usd else "",
        count(view.tools.total, "tool call") if view.tools.total else "",
    ]
    return " · ".join(filter(None, parts))


def _pull(run: Run) -> str:
    if run.pull_request is None:
        return run.pr_url or ""
    where = run.pull_request.url or f"#{run.pull_request.number}"
    return f"{where} {run.pull_request.state or ''}".rstrip()


def _failed(exit_code: int | None) -> str:
    return f" (exit code {exit_code})" if exit_code else ""


def _shown(text: str, limit: int = _MOST_CHARACTERS) -> str:
    return one_line(text, limit)
