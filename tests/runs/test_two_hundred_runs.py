"""Two hundred runs in one installation: what GitHub allows is kept, and every comment comes to its true end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random  # noqa: TID251 -- seeded, the same each time

import pytest

from bot import events as ev
from bot.github.failures import RateLimited
from bot.model import Outcome, Stage
from bot.runs.store import Store
from tests.run_events import reached
from tests.runs.reporting import Asked, Reporting, reporting

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("store", ["sqlite"], indirect=True)]

_RUNS = 200
_TICK_SECONDS = 2.0
_WORK_SECONDS = (60.0, 300.0)
_AT_WORK = [stage for stage in Stage if stage not in {Stage.QUEUED, Stage.AUTHORIZING}]
_OUTCOMES = [Outcome.NO_CHANGES, Outcome.NEEDS_INPUT, Outcome.STOPPED, Outcome.TIMED_OUT, Outcome.FAILED]


@pytest.fixture
async def world(tmp_path: Path, store: Store) -> AsyncIterator[Reporting]:
    async with reporting(tmp_path / "github", store) as made:
        yield made


def _busiest_minute(times: list[datetime]) -> int:
    minute = timedelta(minutes=1)
    return max(sum(at <= other < at + minute for other in times) for at in times)


class _Crowd:
    """What happens to the runs, at random but the same each time."""

    def __init__(self, world: Reporting, asked: list[Asked]) -> None:
        self._world = world
        self._random = Random(20261102)
        self._to_greet = list(asked)
        self._stages: dict[str, list[Stage]] = {}
        self._at_work: list[Asked] = []
        self._ends: dict[str, datetime] = {}
        self.edits: list[datetime] = []

    @property
    def over(self) -> bool:
        return not self._to_greet and not self._at_work

    async def tick(self) -> None:
        world = self._world
        with contextlib.suppress(RateLimited):
            while self._to_greet:
                await world.greet(self._to_greet[0])
                self._begin(self._to_greet.pop(0))
        await asyncio.gather(*(self._go_on(run) for run in list(self._at_work)))
        before = world.edits()
        await world.after(_TICK_SECONDS)
        self.edits += [world.now] * (world.edits() - before)

    def _begin(self, run: Asked) -> None:
        self._at_work.append(run)
        self._stages[run.id] = list(_AT_WORK)
        self._ends[run.id] = self._world.now + timedelta(seconds=self._random.uniform(*_WORK_SECONDS))

    async def _go_on(self, run: Asked) -> None:
        random, world = self._random, self._world
        if world.now >= self._ends[run.id]:
            self._at_work.remove(run)
            words = f"The last words of {run.id}."
            await world.store.finish(run.id, ev.Complete(random.choice(_OUTCOMES), words, 0, 0), world.now)
        elif random.random() < 0.05 and self._stages[run.id]:
            await world.happens(run, reached(self._stages[run.id].pop(0)))
        elif random.random() < 0.1:
            await world.happens(run, ev.AiMessage(f"word {random.random()}"), ev.ToolEdit("a.py", "a", "b"))


async def test_edits_stay_within_a_minutes_limit_and_every_comment_ends_true(world: Reporting) -> None:
    asked = [await world.ask() for _ in range(_RUNS)]
    crowd = _Crowd(world, asked)
    began = world.now
    restarted = False
    while not crowd.over or await world.store.unreported():
        await crowd.tick()
        if not restarted and world.now > began + timedelta(minutes=3):
            restarted = True
            world.restart()
            assert not await world.after(0), "a restart alone changes nothing"
        assert world.now < began + timedelta(minutes=20), "every run's end is told"
    assert restarted
    assert _busiest_minute(crowd.edits) < 60
    assert [logged for logged in world.fake.requests if logged.status >= 400] == [], "no limit of GitHub's was met"
    for run in asked:
        assert world.comment(run) == await world.truth(run)
        assert world.fake.reactions(run.comment, by=world.fake.identity.bot) in (["rocket"], ["confused"])
    told = world.edits()
    await world.after(600)
    assert world.edits() == told, "and then there is nothing more to tell"
