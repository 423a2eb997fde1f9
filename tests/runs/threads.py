"""The reporter between a log of runs and threads that are kept in memory, with a clock that only the test moves."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bot import events as ev
from bot.errors import StoreUnavailable
from bot.github.answers import At, OnComment, OnIssue, Target
from bot.github.limits import Content, Limits, edit
from bot.model import Actor, InstallationId, Issue, Repo, RunId, RunRequest, RunState, TriggerKind, Usage
from bot.runs.records import Place, Run
from bot.runs.reporter import Reporter
from tests.run_events import BEGUN, START

_ACTOR = Actor(1, "octocat")
_REPO = Repo(1, "octo/here", "main", private=False)


def a_run(number: int = 1, *, label: bool = False, installation: int = 7) -> Run:
    request = RunRequest(
        repo=_REPO,
        installation_id=InstallationId(installation),
        trigger=TriggerKind.LABEL if label else TriggerKind.COMMENT,
        actor=_ACTOR,
        prompt="Fix it",
        issue=Issue(number, "Crash", "", _ACTOR, is_pull_request=False),
        comment_id=None if label else 1000 + number,
        triggered_at=START,
    )
    return Run(
        id=RunId(f"run-{number}"),
        request=request,
        state=RunState.RUNNING,
        created_at=START,
        started_at=START,
        finished_at=None,
        last_seq=0,
        base_sha=None,
        branch=None,
        model="a-model",
        budget_usd=3.0,
        session_id=None,
        stop_requested=False,
        usage=Usage(),
        outcome=None,
        pr_url=None,
        pull_number=None,
        pull_state=None,
        head_sha=None,
        continues_pull=None,
        stop_reason=None,
        comment_id=None,
        comment_posts=0,
        reported_seq=0,
        reported_at=None,
        reported_final=False,
    )


@dataclass
class Threads:
    """GitHub as far as comments and reactions go: what stands there now, and every edit."""

    comments: dict[int, str] = field(default_factory=dict)
    reactions: dict[Target, set[str]] = field(default_factory=dict)
    edits: list[tuple[int, str]] = field(default_factory=list)
    tries: int = 0
    failing: list[Exception] = field(default_factory=list)
    """So the next calls fail, one by one."""
    failing_reactions: list[Exception] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits(clock=lambda: START))

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    def _fail_to_react(self) -> None:
        self._fail()
        if self.failing_reactions:
            raise self.failing_reactions.pop(0)

    def has_room(self, installation_id: InstallationId, content: Content, *, owed: int = 0) -> bool:
        return self.limits.has_room(installation_id, content, owed=owed)

    async def edit_comment(self, at: At, comment_id: int, body: str, *, content: Content = Content.PROGRESS) -> bool:
        self.tries += 1
        async with self.limits.slot(at.installation_id, edit(content), urgent=True):
            self._fail()
        if comment_id not in self.comments:
            return False
        self.comments[comment_id] = body
        self.edits.append((comment_id, body))
        return True

    async def post_comment(self, at: At, number: int, body: str, marker: str) -> int:
        self._fail()
        assert marker in body.partition("\n")[0]
        comment_id = 5000 + len(self.comments) + len(self.edits)
        self.comments[comment_id] = body
        return comment_id

    async def find_comment(self, at: At, number: int, marker: str) -> int | None:
        self._fail()
        return next((key for key, body in self.comments.items() if marker in body.partition("\n")[0]), None)

    async def react(self, at: At, target: Target, content: str) -> None:
        self._fail_to_react()
        self.reactions.setdefault(target, set()).add(content)

    async def unreact(self, at: At, target: Target, content: str) -> None:
        self._fail_to_react()
        self.reactions.setdefault(target, set()).discard(content)


@dataclass
class Log:
    """The store as far as the reporter goes: runs and their events, and what was said about them."""

    runs: dict[RunId, Run] = field(default_factory=dict)
    events: dict[RunId, list[ev.StoredEvent]] = field(default_factory=dict)
    places: dict[RunId, int] = field(default_factory=dict)
    greeted_later: set[RunId] = field(default_factory=set)
    """Runs that should have a comment and have none yet."""
    down: bool = False

    def append(self, run_id: RunId, at: datetime, *news: ev.Event) -> None:
        log = self.events.setdefault(run_id, [])
        for event in news:
            log.append(ev.StoredEvent(len(log) + 1, run_id, at, event))
        ended = log[-1].timestamp if isinstance(log[-1].event, ev.Complete) else None
        self.runs[run_id] = replace(self.runs[run_id], last_seq=len(log), finished_at=ended)

    async def unreported(self) -> list[Run]:
        if self.down:
            raise StoreUnavailable
        spoken_to = (run for run in self.runs.values() if run.comment_id is not None or run.id in self.greeted_later)
        return [run for run in spoken_to if not run.reported_final]

    async def unanswered(self, since: datetime) -> set[InstallationId]:
        waiting = (run for run in self.runs.values() if run.state is RunState.ACCEPTED and run.created_at >= since)
        return {run.request.installation_id for run in waiting}

    async def place(self, run_id: RunId) -> Place:
        return Place(self.places[run_id])

    async def events_after(self, run_id: RunId, seq: int, *, limit: int = 500) -> list[ev.StoredEvent]:
        return self.events[run_id][seq : seq + limit]

    async def commented(self, run_id: RunId, comment_id: int) -> None:
        run = self.runs[run_id]
        self.runs[run_id] = replace(run, comment_id=comment_id, comment_posts=run.comment_posts + 1)

    async def reported(self, run_id: RunId, seq: int, now: datetime, *, final: bool) -> None:
        self.runs[run_id] = replace(self.runs[run_id], reported_seq=seq, reported_at=now, reported_final=final)


@dataclass
class Bell:
    """Says that there is news."""

    waiting: set[asyncio.Event] = field(default_factory=set)

    @contextmanager
    def any(self) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self.waiting.add(event)
        yield event

    def ring(self) -> None:
        for event in self.waiting:
            event.set()


@dataclass
class World:
    """A clock that only the test moves."""

    log: Log = field(default_factory=Log)
    threads: Threads = field(default_factory=Threads)
    bell: Bell = field(default_factory=Bell)
    now: datetime = START
    reporter: Reporter = field(init=False)

    def __post_init__(self) -> None:
        self.threads.limits = Limits(clock=lambda: self.now)
        self.restart()

    def restart(self) -> None:
        self.reporter = Reporter(
            self.log, self.threads, clock=lambda: self.now, public_url="https://bot.example", news=self.bell
        )

    async def ask(self, number: int = 1, *, label: bool = False, installation: int = 7) -> RunId:
        """A run with its first comment and the eyes on what asked for it."""
        run = a_run(number, label=label, installation=installation)
        self.log.runs[run.id] = run
        self.log.append(run.id, self.now, BEGUN)
        target = OnIssue(number) if label else OnComment(1000 + number)
        self.threads.reactions[target] = {"eyes"}
        self.threads.comments[number] = "the first words"
        await self.log.commented(run.id, number)
        return run.id

    def happens(self, run_id: RunId, *news: ev.Event) -> None:
        self.log.append(run_id, self.now, *news)

    async def after(self, seconds: float) -> bool:
        self.now += timedelta(seconds=seconds)
        return await self.reporter.step(self.now)

    def comment(self, run_id: RunId) -> str:
        comment_id = self.log.runs[run_id].comment_id
        assert comment_id is not None
        return self.threads.comments[comment_id]
