"""A run whose workflow was given up is ended for the people who wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from bot import events as ev
from bot.model import Outcome, RunId, RunState
from bot.runs.janitor import Janitor
from bot.runs.store import Store
from bot.sandbox import Sandbox, SandboxId
from tests.runs.test_store import admitted, asked

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@dataclass
class World:
    """The engine and the pipeline, as far as the janitor sees them."""

    store: Store
    given_up: set[str] = field(default_factory=set)
    abandoned: list[str] = field(default_factory=list)

    async def ended(self, run_id: RunId) -> bool:
        return run_id in self.given_up

    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        self.abandoned.append(run_id)
        await self.store.finish(run_id, ev.Complete(Outcome.FAILED, "given up", 0, 0), NOW)


class Leftovers:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = [SandboxId(name) for name in names]

    async def list_owned(self) -> list[SandboxId]:
        return list(self.names)

    async def delete(self, sandbox: SandboxId) -> None:
        self.names.remove(sandbox)


def janitor(world: World, leftovers: Leftovers) -> Janitor:
    sandbox: Sandbox = leftovers  # type: ignore[assignment]  # two of its methods are all that is used
    return Janitor(world.store, world, world, sandbox)


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


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
