"""Runs that programs ask for: many at once begin as each alone would."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import events as ev
from bot.errors import StoreUnavailable
from bot.model import Actor, InstallationId, Repo, RunId, RunRequest, RunState, TriggerKind
from bot.runs import database
from bot.runs.lifecycle import NewRun
from bot.runs.rates import Quota, Rates
from bot.runs.records import Accepted, Duplicate
from bot.runs.starts import Started, Starts
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.runs.conftest import Queues, opened

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def starts(store: Store, tables: Tables) -> Starts:
    return store.starts(Rates(tables, lambda: NOON))


def new(name: str, wish: str = "", prompt: str = "fix it") -> NewRun:
    request = RunRequest(
        repo=Repo(0, "acme/calc", "", private=True),
        installation_id=InstallationId(0),
        trigger=TriggerKind.API,
        actor=Actor(0, "key"),
        prompt=prompt,
        issue=None,
        comment_id=None,
        triggered_at=NOON,
    )
    return NewRun(RunId(name), request, wish or name)


async def at_once(starts: Starts, *runs: NewRun, quota: Quota | None = None) -> list[Started]:
    return list(await asyncio.gather(*(starts.start(run, NOON, quota) for run in runs)))


async def test_each_has_its_run_its_first_event_and_its_place_with_the_engine(
    starts: Starts, store: Store, queues: Queues
) -> None:
    asked = [new(f"run-{number}", prompt=f"fix number {number}") for number in range(20)]
    assert await at_once(starts, *asked) == [Accepted(run.id) for run in asked]
    for run in asked:
        stored = await store.run(run.id)
        assert stored is not None
        assert (stored.state, stored.request) == (RunState.ACCEPTED, run.request)
        (first,) = await store.events_after(run.id, 0)
        assert first == starts.opening(run, NOON)
        assert first.event == ev.Start("acme/calc", run.request.prompt, TriggerKind.API, "key")
    assert sorted(queues.given) == sorted(("answers", run.id) for run in asked)


async def test_of_many_at_once_as_many_begin_as_the_key_may_and_the_others_hear_how_long_to_wait(
    starts: Starts, queues: Queues
) -> None:
    asked = [new(f"run-{number}") for number in range(9)]
    answers = await at_once(starts, *asked, quota=Quota("key:1", 4, HOUR))
    begun = [answer.run_id for answer in answers if isinstance(answer, Accepted)]
    waits = [answer for answer in answers if isinstance(answer, timedelta)]
    assert (len(begun), len(waits)) == (4, 5)
    assert all(timedelta() < wait <= 2 * HOUR for wait in waits)
    assert sorted(run_id for _, run_id in queues.given) == sorted(begun)


async def test_what_one_key_has_used_up_holds_up_no_other(starts: Starts) -> None:
    answers = await asyncio.gather(
        *(starts.start(new(f"a-{number}"), NOON, Quota("key:a", 0, HOUR)) for number in range(3)),
        *(starts.start(new(f"b-{number}"), NOON, Quota("key:b", 3, HOUR)) for number in range(3)),
        starts.start(new("c"), NOON, None),
    )
    assert [isinstance(answer, Accepted) for answer in answers] == [False] * 3 + [True] * 4


async def test_one_wish_that_comes_twice_at_once_is_one_run(starts: Starts, queues: Queues) -> None:
    answers = await at_once(starts, new("first", "the same"), new("second", "the same"), new("third", "the same"))
    ids = {answer.run_id for answer in answers if isinstance(answer, Accepted | Duplicate)}
    assert len(ids) == 1
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1
    assert len(queues.given) == 1
    assert await at_once(starts, new("fourth", "the same")) == [Duplicate(ids.pop())]


async def test_one_that_cannot_be_begun_takes_no_other_with_it(starts: Starts, store: Store) -> None:
    """Two with one id, which only a fault of ours could make."""
    one, other = new("run", "one"), new("run", "other")
    answers = await asyncio.gather(
        starts.start(new("before"), NOON, None),
        starts.start(one, NOON, None),
        starts.start(other, NOON, None),
        starts.start(new("behind"), NOON, None),
        return_exceptions=True,
    )
    assert [isinstance(answer, Accepted) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[2], Exception)
    assert await store.run(RunId("behind")) is not None


async def test_a_run_begins_though_who_asked_has_gone_away(starts: Starts, store: Store) -> None:
    leaves = asyncio.create_task(starts.start(new("left"), NOON, None))
    stays = asyncio.create_task(starts.start(new("stays"), NOON, None))
    await asyncio.sleep(0)
    leaves.cancel()
    assert await stays == Accepted(RunId("stays"))
    assert await store.run(RunId("left")) is not None


async def test_the_engine_and_readers_hear_of_it(starts: Starts, store: Store, queues: Queues) -> None:
    with store.changes.of(RunId("run")) as changed:
        await at_once(starts, new("run"))
        async with asyncio.timeout(5):
            await changed.wait()
    assert queues.rings


async def test_two_processes_that_ask_for_the_same_at_once_begin_one_run(database_url: str) -> None:
    with opened(database_url) as one, opened(database_url) as other:
        both = [Store(tables, Queues(), str).starts(Rates(tables, lambda: NOON)) for tables in (one, other)]
        wishes = [
            (starts, new(f"{turn}-{place}", f"wish-{turn}")) for turn in range(12) for place, starts in enumerate(both)
        ]
        answers = await asyncio.gather(*(starts.start(run, NOON, None) for starts, run in wishes))
    begun = [answer for answer in answers if isinstance(answer, Accepted)]
    assert len(begun) == 12
    assert sum(isinstance(answer, Duplicate) for answer in answers) == 12


async def test_that_the_database_cannot_be_written_is_said_to_all(tmp_path: Path) -> None:
    empty = database.open_engine(f"sqlite:///{tmp_path}/empty.db", pool_size=1, isolation=None)
    tables = Tables(empty, empty)
    starts = Store(tables, Queues(), str).starts(Rates(tables, lambda: NOON))
    answers = await asyncio.gather(
        *(starts.start(new(f"run-{number}"), NOON, None) for number in range(3)), return_exceptions=True
    )
    tables.close()
    empty.dispose()
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
