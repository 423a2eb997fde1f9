"""One comment a run: true, not edited too often, and always brought to its end."""

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from bot import events as ev
from bot.errors import StoreUnavailable
from bot.github.answers import At, OnComment, OnIssue, Target
from bot.github.failures import Forbidden, RateLimited, Unavailable
from bot.model import (
    Actor,
    InstallationId,
    Issue,
    Outcome,
    Repo,
    RunId,
    RunRequest,
    RunState,
    Stage,
    TriggerKind,
    Usage,
)
from bot.runs.records import Place, Run
from bot.runs.reporter import Reporter
from tests.run_events import BEGUN, START, complete, reached

_ACTOR = Actor(1, "octocat")
_REPO = Repo(1, "octo/here", "main", private=False)


def _run(number: int = 1, *, label: bool = False, installation: int = 7) -> Run:
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
    failing: list[Exception] = field(default_factory=list)
    """So the next calls fail, one by one."""
    failing_reactions: list[Exception] = field(default_factory=list)

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)

    def _fail_to_react(self) -> None:
        self._fail()
        if self.failing_reactions:
            raise self.failing_reactions.pop(0)

    async def edit_comment(self, at: At, comment_id: int, body: str, *, urgent: bool = False) -> bool:
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
        return [run for run in self.runs.values() if not run.reported_final and run.comment_id is not None]

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
        self.restart()

    def restart(self) -> None:
        self.reporter = Reporter(
            self.log, self.threads, clock=lambda: self.now, public_url="https://bot.example", news=self.bell
        )

    async def ask(self, number: int = 1, *, label: bool = False, installation: int = 7) -> RunId:
        """A run with its first comment and the eyes on what asked for it."""
        run = _run(number, label=label, installation=installation)
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


@pytest.fixture
def world() -> World:
    return World()


async def test_news_reach_the_comment_and_nothing_is_said_twice(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING, "The agent is at work"))
    assert await world.after(0)
    assert "**Write the change**: The agent is at work" in world.comment(run)
    assert world.comment(run).startswith("<!-- backspace:run=run-1 -->\n")
    assert not await world.after(10), "no news"
    assert len(world.threads.edits) == 1


async def test_within_five_seconds_the_latest_state_wins(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    for second in range(1, 5):
        world.happens(run, ev.AiMessage(f"word {second}"))
        assert not await world.after(1)
    assert await world.after(1)
    assert "> word 4" in world.comment(run)
    assert len(world.threads.edits) == 2


async def test_a_change_of_stage_is_told_at_once(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, reached(Stage.VERIFYING))
    assert await world.after(1)
    assert "⏳ **Run the checks**" in world.comment(run)


async def test_edits_wait_while_somebody_waits_for_a_first_answer(world: World) -> None:
    run = await world.ask()
    asked = replace(_run(2), state=RunState.ACCEPTED, created_at=world.now, comment_id=None)
    world.log.runs[asked.id] = asked
    world.happens(run, reached(Stage.CODING))
    assert not await world.after(1)
    assert await world.after(10), "but not for ever"


async def test_events_that_change_no_word_edit_nothing(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, ev.ToolRead("a.py"), ev.AiMessage("hm", thinking=True))
    assert not await world.after(20)
    assert await world.after(45), "but the elapsed time does not stand still for long"


async def test_a_place_in_the_queue_is_told_as_it_changes(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.AUTHORIZING))
    world.log.runs[run] = replace(world.log.runs[run], state=RunState.WAITING)
    world.log.places[run] = 2
    await world.after(0)
    assert "**Queued, 2 ahead**" in world.comment(run)
    world.log.places[run] = 1
    assert await world.after(1)
    assert "**Queued, 1 ahead**" in world.comment(run)
    world.log.runs[run] = replace(world.log.runs[run], state=RunState.RUNNING)
    assert await world.after(1)
    assert "**Backspace is on it**" in world.comment(run)


@pytest.mark.parametrize(
    ("outcome", "face"),
    [(Outcome.PULL_REQUEST, "rocket"), (Outcome.NO_CHANGES, "rocket"), (Outcome.FAILED, "confused")],
)
@pytest.mark.parametrize("label", [False, True], ids=["comment", "label"])
async def test_at_the_end_the_outcome_is_told_at_once_and_the_eyes_go(
    world: World, outcome: Outcome, face: str, *, label: bool
) -> None:
    run = await world.ask(label=label)
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    world.happens(run, complete(outcome, "The last words."))
    assert await world.after(1)
    assert "The last words." in world.comment(run)
    assert world.threads.reactions == {OnIssue(1) if label else OnComment(1001): {face}}
    assert world.log.runs[run].reported_final
    assert not await world.after(100)
    assert len(world.threads.edits) == 2


async def test_a_restart_edits_nothing_by_itself_and_goes_on(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING), ev.AiMessage("word"))
    await world.after(0)
    world.restart()
    assert not await world.after(10)
    world.happens(run, ev.AiMessage("another"))
    assert await world.after(1)
    assert "> another" in world.comment(run)


async def test_an_end_that_came_while_nobody_looked_is_told_after_the_start(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING), *[ev.AiMessage(f"word {n}") for n in range(1200)])
    await world.after(0)
    world.restart()
    world.happens(run, complete(Outcome.STOPPED))
    assert await world.after(0)
    assert "**Stopped, as asked**" in world.comment(run)


async def test_a_deleted_comment_is_posted_anew_once(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    del world.threads.comments[1]
    assert await world.after(0)
    second = world.log.runs[run].comment_id
    assert second != 1
    assert "Write the change" in world.comment(run)
    assert second is not None
    del world.threads.comments[second]
    world.happens(run, reached(Stage.VERIFYING))
    await world.after(10)
    world.happens(run, reached(Stage.PUSHING))
    await world.after(10)
    world.happens(run, complete(Outcome.PULL_REQUEST))
    await world.after(10)
    assert world.threads.comments == {}, "somebody does not want it"
    assert world.threads.reactions == {OnComment(1001): {"rocket"}}
    assert world.log.runs[run].reported_final


async def test_an_outcome_is_tried_again_until_it_stands(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Unavailable() for _ in range(4)]
    tries = 0
    while not world.log.runs[run].reported_final:
        await world.after(5)
        tries += 1
        assert tries < 100
    assert "**Failed**" in world.comment(run)
    assert tries > 8, "longer and longer between the tries"


async def test_a_failing_reaction_does_not_write_the_comment_again(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing_reactions = [Unavailable(), Unavailable()]
    for _ in range(10):
        await world.after(10)
    assert world.threads.reactions == {OnComment(1001): {"confused"}}
    assert world.log.runs[run].reported_final
    assert len(world.threads.edits) == 1


async def test_a_rate_limit_is_waited_for(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [RateLimited(START + timedelta(seconds=90))]
    await world.after(0)
    for _ in range(8):
        assert not await world.after(10)
    assert await world.after(10)
    assert world.log.runs[run].reported_final


async def test_what_cannot_succeed_is_given_up(world: World) -> None:
    run = await world.ask()
    world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Forbidden() for _ in range(50)]
    for _ in range(20):
        await world.after(30)
    assert world.log.runs[run].reported_final
    assert len(world.threads.failing) == 47, "three tries"


async def test_one_comment_that_fails_holds_up_no_other(world: World) -> None:
    first, second = await world.ask(1), await world.ask(2)
    for run in (first, second):
        world.happens(run, complete(Outcome.FAILED))
    world.threads.failing = [Unavailable()]
    await world.after(0)
    assert world.log.runs[second].reported_final
    assert not world.log.runs[first].reported_final


def _busiest_minute(times: list[datetime]) -> int:
    return max(sum(0 <= (later - time).total_seconds() < 60 for later in times) for time in times)


@pytest.mark.slow
async def test_two_hundred_runs_share_their_minute_and_all_reach_their_end(world: World) -> None:
    runs = [await world.ask(number) for number in range(1, 201)]
    times: list[datetime] = []
    rounds = 0
    while not all(world.log.runs[run].reported_final for run in runs):
        if rounds < 120:
            for number, run in enumerate(runs):
                world.happens(run, ev.AiMessage(f"round {rounds}"))
                if rounds % 30 == number % 30:
                    world.happens(run, reached(list(Stage)[2 + rounds // 30]))
        elif rounds == 120:
            for run in runs:
                world.happens(run, complete(Outcome.PULL_REQUEST))
        before = len(world.threads.edits)
        await world.after(1)
        times += [world.now] * (len(world.threads.edits) - before)
        rounds += 1
        assert rounds < 600
    assert _busiest_minute(times) < 60
    assert all("**Opened a pull request**" in world.comment(run) for run in runs)


async def test_installations_do_not_share_their_minute(world: World) -> None:
    runs = [await world.ask(number, installation=number % 4) for number in range(1, 161)]
    for run in runs:
        world.happens(run, complete(Outcome.STOPPED))
    await world.after(0)
    assert all(world.log.runs[run].reported_final for run in runs)


async def test_an_old_runs_comment_is_edited_less_often(world: World) -> None:
    run = await world.ask()
    world.happens(run, reached(Stage.CODING))
    await world.after(0)
    for minute in range(60):
        for part in range(12):
            world.happens(run, ev.AiMessage(f"word {minute}.{part}"))
            await world.after(5)
    assert len(world.threads.edits) < 150, "GitHub takes 500 pieces of content an hour"


async def test_the_loop_survives_a_store_that_is_down(world: World) -> None:
    run = await world.ask()
    world.log.down = True
    loop = asyncio.create_task(world.reporter.serve())
    try:
        await asyncio.sleep(0)
        world.log.down = False
        world.happens(run, complete(Outcome.STOPPED))
        async with asyncio.timeout(10):
            while not world.log.runs[run].reported_final:
                world.bell.ring()
                await asyncio.sleep(0.01)
    finally:
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop
