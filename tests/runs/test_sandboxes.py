"""What is kept of sandboxes that are paid for, and of the agents at work in them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from bot import events as ev
from bot.model import RunId
from bot.runs.sandboxes import Sandboxes, Working
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.runs.test_janitor import Counted
from tests.runs.test_store import asked

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
RUN = RunId(str(UUID(int=7)))


class Clock:
    now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def kept(tables: Tables, clock: Clock, counted: Counted) -> Sandboxes:
    return Sandboxes(tables, clock, counted)


async def test_a_run_costs_what_each_of_its_sandboxes_did(kept: Sandboxes, clock: Clock, counted: Counted) -> None:
    await kept.opens(RUN, 0.20)
    await kept.opens(f"{RUN}-before", 0.10)
    await kept.opens(str(UUID(int=8)), 5.0)
    clock.now += timedelta(minutes=30)
    await kept.ended(f"{RUN}-before")
    await kept.ended(f"{RUN}-before")
    clock.now += timedelta(minutes=30)
    assert await kept.usd(RUN) == pytest.approx(0.20 + 0.05)
    assert (counted.made, counted.living) == (3, 2)
    assert counted.ended == [(1800.0, 0.05)]


async def test_a_new_one_of_a_name_ends_the_one_before(kept: Sandboxes, clock: Clock) -> None:
    await kept.opens(RUN, 1.0)
    await kept.furnished(RUN)
    assert await kept.is_furnished(RUN)
    clock.now += timedelta(hours=1)
    await kept.opens(RUN, 1.0)
    assert not await kept.is_furnished(RUN)
    assert [one.created_at for one in await kept.open()] == [clock.now]
    assert await kept.usd(RUN) == pytest.approx(1.0)


async def test_a_lost_one_is_not_found_again_though_it_may_still_be_paid_for(kept: Sandboxes, counted: Counted) -> None:
    await kept.opens(RUN, 1.0)
    await kept.furnished(RUN)
    await kept.lost(RUN)
    assert not await kept.is_furnished(RUN)
    assert [one.key for one in await kept.open()] == [RUN]
    assert (counted.lost, counted.living) == (1, 1)


async def test_where_an_agent_is_goes_with_the_events_that_it_caused(kept: Sandboxes, store: Store) -> None:
    await asked(store, RUN)
    await kept.opens(RUN, 1.0)
    await kept.launching(RUN, "agent-1")
    assert await kept.working(RUN) == Working("agent-1", told=False, offset=0)
    await kept.told(RUN)
    await store.append(RUN, [ev.AiMessage("a", thinking=False)], NOON, offset=120)
    assert await kept.working(RUN) == Working("agent-1", told=True, offset=120)
    await kept.done(RUN)
    assert await kept.working(RUN) is None


async def test_an_agent_goes_with_its_sandbox(kept: Sandboxes, store: Store) -> None:
    await asked(store, RUN)
    await kept.opens(RUN, 1.0)
    await kept.launching(RUN, "agent-1")
    await kept.opens(f"{RUN}-before", 1.0)
    assert await kept.working(RUN) is not None
    await kept.opens(RUN, 1.0)
    assert await kept.working(RUN) is None
