"""Reads the event log and keeps each run's one comment true, from its first words to its outcome."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError
from bot.events import StoredEvent
from bot.github.answers import At, OnComment, OnIssue, Target
from bot.model import InstallationId, Outcome, RunId, RunState
from bot.runs.records import Place, Run
from bot.runs.view import RunView, fold
from bot.wording.comment import Frame, marker, progress_comment

MIN_INTERVAL_SECONDS = 5.0
MAX_INTERVAL_SECONDS = 60.0
MAX_EDITS_PER_MINUTE = 55
"""Of one installation. GitHub allows 80 pieces of content a minute: new comments and pull requests need some."""

_ORDINARY_EDITS_PER_MINUTE = 40
"""What is left of the minute is for changes of stage and outcomes."""
_AGE_SHARE = 1 / 20
"""A comment is edited the less often the older it is: after ten minutes every 30 s."""
_CLOCK_SECONDS = 60.0
"""So old may the elapsed time in a comment become while nothing else in it changes."""
_WINDOW_SECONDS = 60.0
_IDLE_SECONDS = 1.0
_BREATH_SECONDS = 0.2
_BACKOFF_SECONDS = 5.0
_MAX_BACKOFF_SECONDS = 300.0
_TRIES_WITHOUT_HOPE = 3
_GIVE_UP = timedelta(days=1)
_ANSWERS_FIRST = timedelta(seconds=10)
"""So long may the first answers to others take what GitHub lets an installation write, ahead of edits."""
_MAX_POSTS = 2
_PAGE = 500

_EYES = "eyes"
_GOOD = frozenset({Outcome.PULL_REQUEST, Outcome.COMMITS_PUSHED, Outcome.NO_CHANGES})

log = structlog.get_logger("bot.runs.reporter")


class News(Protocol):
    """Says when any run has news; a hint, not truth."""

    def any(self) -> AbstractContextManager[asyncio.Event]: ...


class Store(Protocol):
    """What the reporter needs of the store."""

    async def unreported(self) -> list[Run]: ...
    async def unanswered(self, since: datetime) -> set[InstallationId]: ...
    async def place(self, run_id: RunId) -> Place: ...
    async def events_after(self, run_id: RunId, seq: int, *, limit: int = ...) -> list[StoredEvent]: ...
    async def commented(self, run_id: RunId, comment_id: int) -> None: ...
    async def reported(self, run_id: RunId, seq: int, now: datetime, *, final: bool) -> None: ...


class GitHub(Protocol):
    """What the reporter needs of GitHub."""

    async def edit_comment(self, at: At, comment_id: int, body: str, *, urgent: bool = ...) -> bool: ...
    async def post_comment(self, at: At, number: int, body: str, marker: str) -> int: ...
    async def find_comment(self, at: At, number: int, marker: str) -> int | None: ...
    async def react(self, at: At, target: Target, content: str) -> None: ...
    async def unreact(self, at: At, target: Target, content: str) -> None: ...


@dataclass
class _Told:
    """What this process knows of one run's comment. After a restart it is read again from the events."""

    view: RunView = field(default_factory=RunView)
    text: str = ""
    at: datetime | None = None
    """When `text` was written."""
    seq: int = 0
    """The last event that `text` tells."""
    shape: tuple[object, ...] = ()
    """The stage and place in the queue that `text` tells."""
    edited_at: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    gone: bool = False


@dataclass(frozen=True)
class _Due:
    run: Run
    told: _Told
    frame: Frame
    shape: tuple[object, ...]
    final: bool
    urgent: bool


@dataclass(frozen=True)
class _Edit:
    run: Run
    told: _Told
    text: str
    shape: tuple[object, ...]
    seq: int
    final: bool
    urgent: bool


class Reporter:
    """`step` edits what is due and returns; `serve` is only the loop around it."""

    def __init__(
        self,
        store: Store,
        github: GitHub,
        *,
        clock: Callable[[], datetime],
        public_url: str,
        news: News,
        command: str = "/backspace",
    ) -> None:
        self._store = store
        self._github = github
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._command = command
        self._news = news
        self._told: dict[RunId, _Told] = {}
        self._edits: defaultdict[InstallationId, deque[datetime]] = defaultdict(deque)

    async def serve(self) -> None:
        """Until it is cancelled."""
        with self._news.any() as news:
            while True:
                news.clear()
                try:
                    await self.step(self._clock())
                except BackspaceError as error:
                    log.warning("reporter.failed", error=str(error))
                # Events come many at a time; a breath between two rounds tells them together.
                await asyncio.sleep(_BREATH_SECONDS)
                try:
                    await asyncio.wait_for(news.wait(), _IDLE_SECONDS)
                except TimeoutError:
                    continue

    async def step(self, now: datetime) -> bool:
        """One round over all runs that have something to tell; whether anything was written."""
        runs = await self._store.unreported()
        answering = await self._store.unanswered(now - _ANSWERS_FIRST) if runs else set()
        self._forget({run.id for run in runs})
        by_installation: defaultdict[InstallationId, list[Run]] = defaultdict(list)
        for run in runs:
            by_installation[run.request.installation_id].append(run)
        rounds = [
            self._installation(installation, its, now, only_outcomes=installation in answering)
            for installation, its in by_installation.items()
        ]
        done = await asyncio.gather(*rounds, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
        return any(done)

    def _forget(self, open_runs: set[RunId]) -> None:
        for run_id in self._told.keys() - open_runs:
            del self._told[run_id]

    async def _installation(
        self, installation: InstallationId, runs: Sequence[Run], now: datetime, *, only_outcomes: bool
    ) -> bool:
        """One after the other: GitHub asks for serial writes. Outcomes first, then changes of stage."""
        due = [found for run in runs if (found := await self._due(run, len(runs), now))]
        if only_outcomes:
            due = [found for found in due if found.final]
        due.sort(key=lambda found: (not found.final, not found.urgent))
        worked = False
        for found in due:
            if not self._has_room(installation, now, urgent=found.urgent):
                break
            view = found.told.view
            text = progress_comment(view, found.frame, now)
            edit = _Edit(found.run, found.told, text, found.shape, view.last_seq, found.final, found.urgent)
            if edit.text != edit.told.text:
                self._edits[installation].append(now)
            await self._carry_out(edit, now)
            worked = True
        return worked

    def _has_room(self, installation: InstallationId, now: datetime, *, urgent: bool) -> bool:
        recent = self._edits[installation]
        while recent and (now - recent[0]).total_seconds() >= _WINDOW_SECONDS:
            recent.popleft()
        return len(recent) < (MAX_EDITS_PER_MINUTE if urgent else _ORDINARY_EDITS_PER_MINUTE)

    async def _due(self, run: Run, siblings: int, now: datetime) -> _Due | None:
        """None when the run's time has not come or there is no news."""
        told = self._told.get(run.id) or await self._recall(run)
        self._told[run.id] = told
        if told.not_before is not None and now < told.not_before:
            return None
        await self._catch_up(run, told, run.last_seq)
        ahead = await self._ahead(run)
        view = told.view
        final = view.complete is not None
        if told.gone and not final:
            return None
        shape = (view.stage, ahead)
        urgent = final or shape != told.shape
        if not urgent and not _is_time(told, siblings, view, now):
            return None
        frame = self._frame(run, ahead)
        if not final and not _is_news(told, shape, frame, now):
            return None
        return _Due(run, told, frame, shape, final, urgent)

    async def _recall(self, run: Run) -> _Told:
        """What an earlier process wrote, so that a restart alone edits nothing."""
        told = _Told(edited_at=run.reported_at)
        if run.reported_at is None:
            return told
        await self._catch_up(run, told, run.reported_seq)
        ahead = await self._ahead(run)
        told.text = progress_comment(told.view, self._frame(run, ahead), run.reported_at)
        told.at, told.seq, told.shape = run.reported_at, told.view.last_seq, (told.view.stage, ahead)
        return told

    async def _catch_up(self, run: Run, told: _Told, until: int) -> None:
        while told.view.last_seq < until:
            page = await self._store.events_after(run.id, told.view.last_seq, limit=_PAGE)
            for stored in page:
                if stored.seq <= until:
                    told.view = fold(told.view, stored)
            if not page:
                return

    async def _ahead(self, run: Run) -> int | None:
        if run.state is RunState.WAITING:
            return (await self._store.place(run.id)).ahead
        return 0 if run.state is RunState.QUEUED else None

    def _frame(self, run: Run, ahead: int | None) -> Frame:
        return Frame(
            run_id=run.id,
            repo=run.request.repo.full_name,
            run_url=f"{self._public_url}/runs/{run.id}" if self._public_url else "",
            budget_usd=run.budget_usd,
            model=run.model or "",
            queue_ahead=ahead,
            command=self._command,
        )

    async def _carry_out(self, edit: _Edit, now: datetime) -> None:
        told = edit.told
        try:
            await self._write(edit)
            told.text = edit.text
            if edit.final:
                await self._close(edit.run, edit.told.view)
        except BackspaceError as error:
            if not self._give_up(edit, error, now):
                return
        told.failures, told.not_before = 0, None
        told.text, told.at, told.seq, told.shape, told.edited_at = edit.text, now, edit.seq, edit.shape, now
        await self._store.reported(edit.run.id, edit.seq, now, final=edit.final)

    async def _write(self, edit: _Edit) -> None:
        """Edit the comment, or post it anew when it was deleted: once, for somebody may not want it."""
        run, told = edit.run, edit.told
        if told.gone or run.comment_id is None or edit.text == told.text:
            return
        at = _at(run)
        if await self._github.edit_comment(at, run.comment_id, edit.text, urgent=edit.urgent):
            return
        if run.comment_posts >= _MAX_POSTS or run.request.issue is None:
            told.gone = True
            return
        number = run.request.issue.number
        # An earlier process may have posted it anew and ended before it could say so.
        posted = await self._github.find_comment(at, number, marker(run.id))
        if posted is None:
            posted = await self._github.post_comment(at, number, edit.text, marker(run.id))
        await self._store.commented(run.id, posted)

    async def _close(self, run: Run, view: RunView) -> None:
        """The eyes become a rocket or a confused face."""
        target = _target(run)
        if target is None:
            return
        await self._github.react(_at(run), target, "rocket" if view.outcome in _GOOD else "confused")
        await self._github.unreact(_at(run), target, _EYES)

    @staticmethod
    def _give_up(edit: _Edit, error: BackspaceError, now: datetime) -> bool:
        """Whether the edit is not tried again. A failed one waits, longer each time."""
        told, run = edit.told, edit.run
        told.failures += 1
        wait = min(_MAX_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2 ** (told.failures - 1))
        until = getattr(error, "until", None)
        told.not_before = max(until or now, now + timedelta(seconds=wait))
        ended = run.finished_at or edit.told.view.ended_at or now
        hopeless = told.failures >= _TRIES_WITHOUT_HOPE if not error.retry_helps else now - ended > _GIVE_UP
        log.warning("comment.not_written", run=run.id, final=edit.final, tries=told.failures, error=str(error))
        return hopeless


def _is_news(told: _Told, shape: tuple[object, ...], frame: Frame, now: datetime) -> bool:
    """Whether more than the clock has changed, or the clock in the comment is old."""
    if told.at is None or (now - told.at).total_seconds() >= _CLOCK_SECONDS:
        return True
    if shape == told.shape and told.view.last_seq == told.seq:
        return False
    return progress_comment(told.view, frame, told.at) != told.text


def _is_time(told: _Told, siblings: int, view: RunView, now: datetime) -> bool:
    """Comments of one installation share its edits; an old run's comment is edited less often."""
    if told.edited_at is None:
        return True
    aged = min(MAX_INTERVAL_SECONDS, view.elapsed_seconds(now) * _AGE_SHARE)
    shared = siblings * _WINDOW_SECONDS / _ORDINARY_EDITS_PER_MINUTE
    return (now - told.edited_at).total_seconds() >= max(MIN_INTERVAL_SECONDS, aged, shared)


def _at(run: Run) -> At:
    request = run.request
    return At(request.installation_id, request.repo, request.issue is not None and request.issue.is_pull_request)


def _target(run: Run) -> Target | None:
    request = run.request
    if request.comment_id is not None:
        return OnComment(request.comment_id)
    return OnIssue(request.issue.number) if request.issue else None
