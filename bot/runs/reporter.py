"""Reads the event log and keeps each run's one comment true, from its first words to its outcome."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError
from bot.events import StoredEvent
from bot.github.answers import At, Target, target_of, where
from bot.github.failures import (
    InstallationGone,
    InstallationSuspended,
    NotFound,
    RepositoryNotInstalled,
    RepositoryReadOnly,
    ThreadLocked,
)
from bot.github.limits import Content
from bot.model import InstallationId, Outcome, RunId, RunState
from bot.runs.pacing import Shape, Told, is_news, is_time, may_speak
from bot.runs.records import Place, Run
from bot.runs.view import RunView, fold
from bot.wording.comment import Frame, marker, progress_comment

_PROGRESS_A_ROUND = 4
"""Then it is looked again whether a run has ended meanwhile."""
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
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_CLOSED_TO_US = (InstallationGone, InstallationSuspended, RepositoryNotInstalled, RepositoryReadOnly, ThreadLocked)
"""Somebody has shut us out; they know, and trying again would not change it."""

_EYES = "eyes"
_GOOD = frozenset({Outcome.PULL_REQUEST, Outcome.COMMITS_PUSHED, Outcome.NO_CHANGES})
_ORDER = {content: number for number, content in enumerate(Content)}

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


class Money(Protocol):
    """Knows what sandboxes cost."""

    async def usd(self, run_id: RunId) -> float: ...


class GitHub(Protocol):
    """What the reporter needs of GitHub."""

    def has_room(self, installation_id: InstallationId, content: Content, *, owed: int = ...) -> bool: ...
    async def edit_comment(self, at: At, comment_id: int, body: str, *, content: Content = ...) -> bool: ...
    async def post_comment(self, at: At, number: int, body: str, marker: str) -> int: ...
    async def find_comment(self, at: At, number: int, marker: str) -> int | None: ...
    async def react(self, at: At, target: Target, content: str) -> None: ...
    async def unreact(self, at: At, target: Target, content: str) -> None: ...


@dataclass(frozen=True)
class _Due:
    run: Run
    told: Told
    frame: Frame
    shape: Shape
    final: bool
    moved: bool

    @property
    def content(self) -> Content:
        if self.run.comment_id is None:
            return Content.ANSWER
        return Content.OUTCOME if self.final else Content.PROGRESS

    @property
    def rank(self) -> tuple[object, ...]:
        """What goes first: first words, outcomes, then what was never told, changes of stage, who waited longest."""
        edited_at = self.told.edited_at
        return _ORDER[self.content], edited_at is not None, not self.moved, edited_at or _LONG_AGO


@dataclass(frozen=True)
class _Edit:
    run: Run
    told: Told
    text: str
    shape: Shape
    seq: int
    final: bool
    content: Content


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
        money: Money | None = None,
    ) -> None:
        """`money` None: sandboxes cost nothing."""
        self._store = store
        self._github = github
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._command = command
        self._news = news
        self._money = money
        self._told: dict[RunId, Told] = {}

    async def serve(self) -> None:
        """Until it is cancelled."""
        with self._news.any() as news:
            while True:
                news.clear()
                worked = False
                try:
                    worked = await self.step(self._clock())
                except BackspaceError as error:
                    log.warning("reporter.failed", error=str(error))
                # Events come many at a time; a breath between two rounds tells them together.
                await asyncio.sleep(_BREATH_SECONDS)
                if worked:
                    continue
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
        """One after the other: GitHub asks for serial writes."""
        due = [found for run in runs if (found := await self._due(run, len(runs), now))]
        if only_outcomes:
            due = [found for found in due if found.final]
        worked = 0
        for found in sorted(due, key=lambda found: found.rank):
            told, view = found.told, found.told.view
            text = progress_comment(view, found.frame, now)
            silent = told.gone or text == told.text
            progress = found.content is Content.PROGRESS
            if progress and worked >= _PROGRESS_A_ROUND:
                break
            if not silent and not self._github.has_room(installation, found.content, owed=len(runs)):
                break
            await self._carry_out(
                _Edit(found.run, told, text, found.shape, view.last_seq, found.final, found.content), now
            )
            worked += 1
        return worked > 0

    async def _due(self, run: Run, siblings: int, now: datetime) -> _Due | None:
        """None when the run's time has not come or there is no news."""
        told = self._told.get(run.id) or await self._recall(run)
        self._told[run.id] = told
        if told.not_before is not None and now < told.not_before:
            return None
        await self._catch_up(run, told, run.last_seq)
        view = told.view
        final = view.complete is not None
        if not final and not may_speak(run, told, siblings, now):
            return None
        shape = Shape(view.stage, None if final else await self._ahead(run))
        frame = self._frame(run, shape.ahead, await self._money.usd(run.id) if final and self._money else 0.0)
        moved = shape.moved_from(told.shape)
        if not final and not (is_time(told, shape, siblings, now) and is_news(told, shape, frame, now)):
            return None
        return _Due(run, told, frame, shape, final, moved)

    async def _recall(self, run: Run) -> Told:
        """What an earlier process wrote, so that a restart alone edits nothing."""
        told = Told(edited_at=run.reported_at)
        if run.reported_at is None:
            return told
        await self._catch_up(run, told, run.reported_seq)
        ahead = await self._ahead(run)
        told.text = progress_comment(told.view, self._frame(run, ahead), run.reported_at)
        told.at, told.seq, told.shape = run.reported_at, told.view.last_seq, Shape(told.view.stage, ahead)
        return told

    async def _catch_up(self, run: Run, told: Told, until: int) -> None:
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

    def _frame(self, run: Run, ahead: int | None, sandbox_usd: float = 0.0) -> Frame:
        return Frame(
            run_id=run.id,
            repo=run.request.repo.full_name,
            run_url=f"{self._public_url}/runs/{run.id}" if self._public_url else "",
            budget_usd=run.budget_usd,
            model=run.model or "",
            queue_ahead=ahead,
            command=self._command,
            stop_reason=run.stop_reason or "",
            checks_round=run.request.checks_round,
            sandbox_usd=sandbox_usd,
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
        """Edit the comment, or post it: where there was no room for it at first, and anew when it was deleted.

        Anew only once, for somebody may not want it.
        """
        run, told = edit.run, edit.told
        if told.gone or edit.text == told.text:
            return
        at = where(run.request)
        if run.comment_id is not None and await self._github.edit_comment(
            at, run.comment_id, edit.text, content=edit.content
        ):
            return
        if run.comment_posts >= _MAX_POSTS or run.request.issue is None:
            told.gone = told.muted = True
            return
        number = run.request.issue.number
        # An earlier process may have posted it already and ended before it could say so.
        posted = await self._github.find_comment(at, number, marker(run.id))
        if posted is None:
            posted = await self._github.post_comment(at, number, edit.text, marker(run.id))
        await self._store.commented(run.id, posted)

    async def _close(self, run: Run, view: RunView) -> None:
        """The eyes become a rocket or a confused face."""
        target, at = target_of(run.request), where(run.request)
        if target is None:
            return
        try:
            await self._github.react(at, target, "rocket" if view.outcome in _GOOD else "confused")
            await self._github.unreact(at, target, _EYES)
        except NotFound:
            log.info("reaction.without_target", run=run.id)

    @staticmethod
    def _give_up(edit: _Edit, error: BackspaceError, now: datetime) -> bool:
        """Whether the edit is not tried again. A failed one waits, longer each time; it is logged once."""
        told, run = edit.told, edit.run
        told.failures += 1
        facts = {"run": run.id, "final": edit.final, "error": str(error)}
        if told.failures == 1 and not told.muted:
            log.warning("comment.not_written", **facts)
        if not error.retry_helps and not edit.final:
            told.muted = True
            return False
        wait = min(_MAX_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2 ** (told.failures - 1))
        until = getattr(error, "until", None)
        told.not_before = max(until or now, now + timedelta(seconds=wait))
        ended = run.finished_at or told.view.ended_at or now
        hopeless = isinstance(error, _CLOSED_TO_US) or (
            now - ended > _GIVE_UP if error.retry_helps else told.failures >= _TRIES_WITHOUT_HOPE
        )
        if hopeless:
            log.warning("comment.given_up", tries=told.failures, **facts)
        return hopeless
