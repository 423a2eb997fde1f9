"""A run whose workflow was given up is ended for the people who wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import pytest

from bot import events as ev
from bot.model import Outcome, RunId, RunState
from bot.runs.janitor import Janitor
from bot.runs.sandboxes import Sandboxes
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.sandbox import Sandbox, SandboxFailed, SandboxId
from tests.runs.test_store import admitted, asked

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """The engine and the pipeline, as far as the janitor sees them."""

    store: Store
    sandboxes: Sandboxes
    given_up: set[str] = field(default_factory=set)
    abandoned: list[str] = field(default_factory=list)

    async def ended(self, run_id: RunId) -> bool:
        return run_id in self.given_up

    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        self.abandoned.append(run_id)
        await self.store.finish(run_id, ev.Complete(Outcome.FAILED, "given up", 0, 0), NOW)


class Leftovers:
    """Sandboxes by name. Those in `living` can still be used by a new process."""

    def __init__(self, names: Sequence[str] = (), *, living: Sequence[str] = ()) -> None:
        self.names = [SandboxId(name) for name in (*names, *living)]
        self.living = set(living)
        self.stuck: set[str] = set()

    async def list_owned(self) -> list[SandboxId]:
        return list(self.names)

    async def attach(self, key: str) -> SandboxId | None:
        return SandboxId(key) if key in self.living else None

    async def delete(self, sandbox: SandboxId) -> None:
        if sandbox in self.stuck:
            raise SandboxFailed("it does not go away")
        if sandbox in self.names:
            self.names.remove(sandbox)


class Time:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Counted:
    def __init__(self) -> None:
        self.made = self.lost = self.living = 0
        self.ended: list[tuple[float, object]] = []

    def sandbox_made(self, living: int) -> None:
        self.made += 1
        self.living = living

    def sandbox_ended(self, living: int, *, seconds: float, usd: float) -> None:
        self.ended.append((seconds, pytest.approx(usd)))
        self.living = living

    def sandbox_lost(self) -> None:
        self.lost += 1

    def sandboxes_living(self, living: int) -> None:
        self.living = living


def janitor(world: World, leftovers: Leftovers, time: Time | None = None) -> Janitor:
    sandbox: Sandbox = leftovers  # type: ignore[assignment]  # three of its methods are all that is used
    return Janitor(world.store, world, world, sandbox, world.sandboxes, monotonic=time or Time())


@pytest.fixture
def world(store: Store, tables: Tables) -> World:
    return World(store, Sandboxes(tables, lambda: NOW, Counted()))


async def test_a_run_that_the_engine_gave_up_is_ended_once(world: World) -> None:
    lost, alive = await asked(world.store, "r1"), await asked(world.store, "r2", number=6)
    for run_id in (lost, alive):
        await admitted(world.store, run_id)
        await world.store.begin(run_id, NOW)
    world.given_up = {lost}
    sweeper = janitor(world, Leftovers([]))
    await sweeper.step()
    await sweeper.step()
    assert world.abandoned == [lost]
    ended = await world.store.run(lost)
    assert ended is not None
    assert (ended.state, ended.outcome) == (RunState.FINISHED, Outcome.FAILED)


async def test_a_run_that_waits_for_its_thread_is_left_to_wait(world: World) -> None:
    first, second = await asked(world.store, "r1"), await asked(world.store, "r2")
    await admitted(world.store, first)
    await admitted(world.store, second)
    world.given_up = {second}
    await janitor(world, Leftovers([])).step()
    assert world.abandoned == []


async def test_the_next_of_the_thread_gets_its_turn(world: World) -> None:
    first, second = await asked(world.store, "r1"), await asked(world.store, "r2")
    await admitted(world.store, first)
    await admitted(world.store, second)
    world.given_up = {first}
    await janitor(world, Leftovers([])).step()
    promoted = await world.store.run(second)
    assert promoted is not None
    assert promoted.state is RunState.QUEUED


async def test_sandboxes_of_an_earlier_process_go_at_start(world: World) -> None:
    leftovers = Leftovers(["r1", "r1-before"])
    await janitor(world, leftovers).start()
    assert leftovers.names == []


ALIVE, OVER = str(UUID(int=1)), str(UUID(int=2))


async def _one_alive_and_one_over(world: World) -> None:
    for run_id, number in ((ALIVE, 5), (OVER, 6)):
        await asked(world.store, run_id, number=number)
        await admitted(world.store, RunId(run_id))
        await world.store.begin(RunId(run_id), NOW)
    await world.store.finish(RunId(OVER), ev.Complete(Outcome.NO_CHANGES, "done", 0, 0), NOW)


async def test_sandboxes_that_live_on_stay_at_start_while_their_run_does(world: World) -> None:
    await _one_alive_and_one_over(world)
    leftovers = Leftovers([f"{ALIVE}-before"], living=[ALIVE, OVER])
    await janitor(world, leftovers).start()
    assert leftovers.names == [ALIVE]


async def test_sandboxes_of_runs_that_have_ended_go(world: World) -> None:
    await _one_alive_and_one_over(world)
    leftovers = Leftovers(living=[ALIVE, f"{ALIVE}-after", OVER, f"{OVER}-pristine"])
    await janitor(world, leftovers).step()
    assert leftovers.names == [ALIVE, f"{ALIVE}-after"]


async def test_one_that_does_not_go_keeps_no_other_and_goes_later(world: World) -> None:
    await _one_alive_and_one_over(world)
    leftovers = Leftovers(living=[OVER, f"{OVER}-pristine"])
    leftovers.stuck = {OVER}
    sweeper = janitor(world, leftovers)
    await sweeper.step()
    assert leftovers.names == [OVER]
    leftovers.stuck = set()
    await sweeper.step()
    assert leftovers.names == []


async def test_a_sandbox_of_a_run_that_nobody_knows_goes_after_two_minutes(world: World) -> None:
    stranger, time = str(UUID(int=3)), Time()
    leftovers = Leftovers(living=[stranger])
    sweeper = janitor(world, leftovers, time)
    await sweeper.step()
    time.seconds += 119
    await sweeper.step()
    assert leftovers.names == [stranger]
    time.seconds += 1
    await sweeper.step()
    assert leftovers.names == []


async def test_what_the_list_does_not_show_yet_goes_as_well(world: World) -> None:
    await _one_alive_and_one_over(world)
    await world.sandboxes.opens(OVER, 0.1)
    asked_for: list[str] = []

    class Lagging(Leftovers):
        async def delete(self, sandbox: SandboxId) -> None:
            asked_for.append(sandbox)
            await world.sandboxes.ended(sandbox)

    sweeper = janitor(world, Lagging())
    await sweeper.step()
    await sweeper.step()
    assert asked_for == [OVER]
