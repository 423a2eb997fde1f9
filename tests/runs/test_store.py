"""What is stored is stored once, whole, and in order."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bot import events as ev
from bot.errors import StoreUnavailable
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
from bot.runs import database
from bot.runs.lifecycle import NewRun, Terms
from bot.runs.records import Accepted, Duplicate, Place, Received
from bot.runs.schema import metadata
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.runs.conftest import Queues

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
REQUEST = RunRequest(
    repo=Repo(1, "acme/calc", "main", private=True),
    installation_id=InstallationId(7),
    trigger=TriggerKind.COMMENT,
    actor=Actor(3, "octo"),
    prompt="fix it",
    issue=Issue(5, "Adding is wrong", "It subtracts.", Actor(4, "author"), is_pull_request=False),
    comment_id=99,
    triggered_at=NOW,
)


def delivery(guid: str) -> Received:
    return Received(guid, "issue_comment", "created", "start")


async def asked(store: Store, name: str, *, at: datetime = NOW, number: int = 5) -> RunId:
    assert REQUEST.issue is not None
    request = replace(REQUEST, issue=replace(REQUEST.issue, number=number))
    accepted = await store.accept(delivery(name), NewRun(RunId(name), request, f"intent-{name}"), at)
    assert accepted == Accepted(RunId(name))
    return RunId(name)


async def admitted(store: Store, run_id: RunId) -> Place:
    return await store.admit(run_id, Terms("m", 1.0, f"backspace/{run_id}"))


def complete(outcome: Outcome = Outcome.NO_CHANGES) -> ev.Complete:
    return ev.Complete(outcome, "said", 0, 0)


async def test_a_delivery_starts_one_run_however_often_it_comes(store: Store, queues: Queues) -> None:
    start = NewRun(RunId("r1"), REQUEST, "intent")
    again = NewRun(RunId("r2"), REQUEST, "intent")
    assert await store.accept(delivery("g1"), start, NOW) == Accepted(RunId("r1"))
    assert await store.accept(delivery("g1"), again, NOW) == Duplicate(RunId("r1"))
    assert queues.given == [("answers", "r1")]


async def test_one_wish_in_two_deliveries_starts_one_run(store: Store, queues: Queues) -> None:
    await store.accept(delivery("g1"), NewRun(RunId("r1"), REQUEST, "label-5"), NOW)
    assert await store.accept(delivery("g2"), NewRun(RunId("r2"), REQUEST, "label-5"), NOW) == Duplicate(RunId("r1"))
    assert queues.given == [("answers", "r1")]


async def test_the_same_delivery_many_times_at_once_starts_one_run(store: Store, queues: Queues) -> None:
    answers = await asyncio.gather(
        *(store.accept(delivery("g1"), NewRun(RunId(f"r{n}"), REQUEST, "intent"), NOW) for n in range(20))
    )
    assert sum(isinstance(answer, Accepted) for answer in answers) == 1
    assert len(queues.given) == 1


async def test_nothing_is_stored_when_the_engine_does_not_take_the_run(store: Store, queues: Queues) -> None:
    queues.refuse = True
    with pytest.raises(RuntimeError):
        await store.accept(delivery("g1"), NewRun(RunId("r1"), REQUEST, "intent"), NOW)
    queues.refuse = False
    assert await store.accept(delivery("g1"), NewRun(RunId("r1"), REQUEST, "intent"), NOW) == Accepted(RunId("r1"))


async def test_one_bad_piece_of_work_leaves_the_others_of_its_group_alone(store: Store, queues: Queues) -> None:
    missing = store.add_usage(RunId("nobody"), Usage(1))
    good = [store.accept(delivery(f"g{n}"), NewRun(RunId(f"r{n}"), REQUEST, f"i{n}"), NOW) for n in range(5)]
    answers = await asyncio.gather(missing, *good, return_exceptions=True)
    assert isinstance(answers[0], sa.exc.NoResultFound)
    assert answers[1:] == [Accepted(RunId(f"r{n}")) for n in range(5)]


async def test_a_run_comes_back_as_it_was_asked_for(store: Store) -> None:
    run = await store.run(await asked(store, "r1"))
    assert run is not None
    assert run.request == REQUEST
    assert run.created_at == NOW
    assert run.state is RunState.ACCEPTED


async def test_runs_of_a_thread_wait_for_each_other_in_order(store: Store, queues: Queues) -> None:
    ids = [await asked(store, f"r{n}", at=NOW + timedelta(seconds=n)) for n in range(3)]
    places = [await admitted(store, run_id) for run_id in ids]
    assert places == [Place(0), Place(1), Place(2)]
    assert [given for given in queues.given if given[0] == "runs"] == [("runs", "r0")]
    await store.begin(ids[0], NOW)
    await store.finish(ids[0], complete(), NOW)
    assert queues.given[-1] == ("runs", "r1")
    assert await store.place(ids[2]) == Place(1)
    await store.finish(ids[1], complete(), NOW)
    await store.finish(ids[2], complete(), NOW)
    assert [given[1] for given in queues.given if given[0] == "runs"] == ["r0", "r1", "r2"]
    assert await store.unfinished() == []


async def test_other_threads_do_not_wait(store: Store) -> None:
    first, other = await asked(store, "r1"), await asked(store, "r2", number=6)
    assert await admitted(store, first) == Place(0)
    assert await admitted(store, other) == Place(0)


async def test_admitting_twice_gives_the_run_to_the_engine_once(store: Store, queues: Queues) -> None:
    run_id = await asked(store, "r1")
    await admitted(store, run_id)
    await admitted(store, run_id)
    assert queues.given == [("answers", "r1"), ("runs", "r1")]


async def test_events_are_numbered_without_gaps_and_progress_never_goes_back(store: Store) -> None:
    run_id = await asked(store, "r1")
    await asyncio.gather(
        *(store.append(run_id, [ev.Progress(Stage.CODING, "on", percent)], NOW) for percent in (20, 70, 10, 40))
    )
    await store.append(run_id, [ev.Progress(Stage.CLONING, "again after a restart", 5)], NOW)
    stored = await store.events_after(run_id, 0)
    assert [event.seq for event in stored] == list(range(1, 7))
    shown = [event.event.percentage for event in stored if isinstance(event.event, ev.Progress)]
    assert shown == sorted(shown)
    assert [event.seq for event in await store.events_after(run_id, 4)] == [5, 6]


async def test_the_last_event_is_the_last(store: Store) -> None:
    run_id = await asked(store, "r1")
    await store.finish(run_id, complete(Outcome.FAILED), NOW + timedelta(seconds=90))
    await store.finish(run_id, complete(Outcome.NO_CHANGES), NOW + timedelta(seconds=91))
    assert await store.append(run_id, [ev.AiMessage("late")], NOW) == 0
    stored = await store.events_after(run_id, 0)
    assert stored[-1].event == ev.Complete(Outcome.FAILED, "said", 90.0, 0.0)
    assert len(stored) == 2


async def test_a_secret_is_taken_out_before_an_event_is_stored(store: Store) -> None:
    run_id = await asked(store, "r1")
    todo = ev.Todo((ev.TodoItem("use hunter2", "pending"),))
    await store.append(run_id, [ev.ToolBash("echo hunter2", "hunter2", 0), todo], NOW)
    stored = [event.event for event in await store.events_after(run_id, 1)]
    assert stored == [
        ev.ToolBash("echo [redacted]", "[redacted]", 0),
        ev.Todo((ev.TodoItem("use [redacted]", "pending"),)),
    ]


async def test_money_adds_up_for_the_run_and_the_day(store: Store) -> None:
    first, second = await asked(store, "r1"), await asked(store, "r2", at=NOW - timedelta(days=1))
    await store.add_usage(second, Usage(cost_usd=4))
    await store.add_usage(first, Usage(10, 20, 30, 40, 0.5))
    assert await store.add_usage(first, Usage(1, 2, 3, 4, 0.25)) == Usage(11, 22, 33, 44, 0.75)
    assert await store.spent_since(InstallationId(7), NOW - timedelta(hours=1)) == 0.75


async def test_a_refusal_is_said_once_a_person_thread_and_day(store: Store) -> None:
    first, second = await asked(store, "r1"), await asked(store, "r2")

    async def may(run_id: RunId, day: str = "2026-11-01", actor_id: int = 3) -> bool:
        return await store.may_refuse(run_id, day=day, thread="1#5", actor_id=actor_id)

    assert await may(first)
    assert not await may(second)
    assert await may(first), "asked again after a crash, the same run may still say it"
    assert await may(second, day="2026-11-02")
    assert await may(second, actor_id=4)


async def test_somebody_waits_for_an_answer_until_the_run_is_admitted(store: Store) -> None:
    run_id = await asked(store, "r1")
    assert await store.unanswered(NOW) == {InstallationId(7)}
    assert await store.unanswered(NOW + timedelta(seconds=1)) == set()
    await admitted(store, run_id)
    assert await store.unanswered(NOW) == set()


async def test_saved_work_is_replaced_by_newer_work(store: Store) -> None:
    run_id = await asked(store, "r1")
    assert await store.saved(run_id, "bundle") is None
    await store.save(run_id, "bundle", b"one", NOW)
    await store.save(run_id, "bundle", b"two", NOW)
    assert await store.saved(run_id, "bundle") == b"two"


async def test_readers_are_told_of_news(store: Store) -> None:
    run_id = await asked(store, "r1")
    with store.changes.of(run_id) as mine, store.changes.of(RunId("r2")) as others, store.changes.any() as anything:
        await store.append(run_id, [ev.AiMessage("hello")], NOW)
        assert (mine.is_set(), others.is_set(), anything.is_set()) == (True, False, True)


async def test_a_database_that_cannot_be_written_is_said_to_be_so(tmp_path: Path, queues: Queues) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    writing = database.open_engine(url, pool_size=1, isolation=None)
    tables = Tables(writing, writing)
    store = Store(tables, queues, str)
    with pytest.raises(StoreUnavailable):
        await store.accept(delivery("g1"), NewRun(RunId("r1"), REQUEST, "intent"), NOW)
    tables.close()
    writing.dispose()


def test_one_process_has_a_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/one.db"
    with (
        database.exclusive(url),
        pytest.raises(database.DatabaseInUse, match="already in use"),
        database.exclusive(url),
    ):
        pass
    with database.exclusive(url):
        pass


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    engine = database.open_engine(f"sqlite:///{tmp_path}/schema.db", pool_size=1, isolation=None)
    database.migrate(engine)
    database.migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "backspace_schema"})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
