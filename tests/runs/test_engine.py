"""The durable engine itself, on a SQLite file: order, retries, failures, and going on after an end in the middle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import DBOS

from bot.errors import StageFailed, Transient
from bot.model import InstallationId, RunId
from bot.runs import database
from bot.runs.engine import Caps, Doorbell, Engine

_SECONDS = 20
_LONG_AGO = 1_700_000_000

pytestmark = pytest.mark.slow


@dataclass
class Stages:
    """Writes down what it is asked to do; `fail` says what a stage raises, each once."""

    seen: list[str] = field(default_factory=list)
    fail: dict[str, list[Exception]] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    gate: Callable[[], Awaitable[object]] | None = None

    def _note(self, name: str) -> dict[str, Any]:
        self.seen.append(name)
        if self.fail.get(name):
            raise self.fail[name].pop(0)
        return {"from": name}

    async def errand(self, errand: dict[str, Any]) -> None:
        self._note(f"errand {errand['word']}")
        self.over.set()

    async def answer(self, run_id: RunId) -> None:
        self._note("answer")
        self.over.set()

    async def prepare(self, run_id: RunId) -> dict[str, Any]:
        return self._note("prepare")

    async def work(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        made = self._note("work")
        if self.gate:
            await self.gate()
        return made

    async def verify(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        assert outputs["work"] == {"from": "work"}
        return self._note("verify")

    async def publish(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        return self._note("publish")

    async def finish(self, run_id: RunId, outputs: dict[str, Any]) -> None:
        self._note("finish")
        self.over.set()

    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        self._note(f"abandon {stage}: {error}")
        self.over.set()


@asynccontextmanager
async def engine(folder: Path, stages: Stages) -> AsyncIterator[Callable[[str], None]]:
    """An engine at work; what it gives submits a run to a queue of it."""
    url = f"sqlite:///{folder}/engine.db"
    made = Engine(url, Caps(runs=2, runs_per_installation=2, work_seconds=60))
    writing = database.open_engine(url, pool_size=1, isolation=None)

    def submit(queue: str) -> None:
        with writing.begin() as connection:
            if queue == "errands":
                made.submit_errand(connection, "guid", {"word": "help"})
            else:
                made.submit(connection, queue, RunId("r1"), InstallationId(7))
        made.ring()

    await made.start(stages)
    try:
        yield submit
    finally:
        await made.stop()
        writing.dispose()
        DBOS.destroy(destroy_registry=True)


async def over(stages: Stages) -> list[str]:
    async with asyncio.timeout(_SECONDS):
        await stages.over.wait()
    return stages.seen


async def test_a_run_passes_its_stages_in_order(tmp_path: Path) -> None:
    stages = Stages()
    async with engine(tmp_path, stages) as submit:
        submit("runs")
        assert await over(stages) == ["prepare", "work", "verify", "publish", "finish"]


@pytest.mark.parametrize(("queue", "said"), [("answers", "answer"), ("errands", "errand help")])
async def test_answers_have_a_queue_of_their_own(tmp_path: Path, queue: str, said: str) -> None:
    stages = Stages()
    async with engine(tmp_path, stages) as submit:
        submit(queue)
        assert await over(stages) == [said]


async def test_what_a_retry_may_mend_is_tried_again(tmp_path: Path) -> None:
    stages = Stages(fail={"publish": [Transient("x", "once")]})
    async with engine(tmp_path, stages) as submit:
        submit("runs")
        assert await over(stages) == ["prepare", "work", "verify", "publish", "publish", "finish"]


async def test_what_no_retry_mends_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    stages = Stages(fail={"prepare": [StageFailed("setup-failed", "It failed.")]})
    async with engine(tmp_path, stages) as submit:
        submit("runs")
        assert await over(stages) == ["prepare", "abandon prepare: setup-failed: It failed."]


async def test_an_engine_that_ended_in_the_middle_goes_on_with_the_stage_it_was_in(tmp_path: Path) -> None:
    working = asyncio.Event()

    async def hang() -> None:
        working.set()
        await asyncio.Event().wait()

    first = Stages(gate=hang)
    async with engine(tmp_path, first) as submit:
        submit("runs")
        async with asyncio.timeout(_SECONDS):
            await working.wait()
    assert first.seen == ["prepare", "work"]
    second = Stages()
    async with engine(tmp_path, second):
        assert await over(second) == ["work", "verify", "publish", "finish"]


def test_ringing_wakes_who_waits_and_setting_ends_it() -> None:
    bell = Doorbell()
    bell.ring()
    assert bell.wait(_SECONDS) is False
    bell.set()
    assert bell.wait(_SECONDS) is True


def test_a_stamp_is_a_float_of_milliseconds_where_sqlite_has_none(tmp_path: Path) -> None:
    made = database.open_engine(f"sqlite:///{tmp_path}/clock.db", pool_size=1)
    with made.connect() as connection:
        stamp = connection.execute(sa.text("select unixepoch('subsec')")).scalar_one()
    made.dispose()
    assert isinstance(stamp, float)
    assert stamp > _LONG_AGO, "seconds since the epoch"
