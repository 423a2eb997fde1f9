"""Re-reads the world at start and every minute: what was left behind goes, what was given up is ended."""

import asyncio
from typing import Protocol

import structlog

from bot.errors import StoreUnavailable
from bot.model import RunId, RunState
from bot.runs.store import Store
from bot.sandbox import Sandbox, SandboxFailed

_EVERY_SECONDS = 60.0
log = structlog.get_logger("bot.runs.janitor")


class Workflows(Protocol):
    async def ended(self, run_id: RunId) -> bool:
        """Whether the engine will do nothing more for the run."""
        ...


class Ends(Protocol):
    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        """End a run in the words of a failure that nobody met."""
        ...


class Janitor:
    """`step` is the hand crank of its one loop."""

    def __init__(self, store: Store, engine: Workflows, runs: Ends, sandbox: Sandbox) -> None:
        self._store = store
        self._engine = engine
        self._runs = runs
        self._sandbox = sandbox

    async def start(self) -> None:
        """Before the engine takes anything up: sandboxes of an earlier process are of no use to this one."""
        for left in await self._sandbox.list_owned():
            log.info("sandbox.left", sandbox=left)
            await self._sandbox.delete(left)

    async def step(self) -> None:
        """End runs that the engine has given up: those that killed their worker too often, or were cancelled."""
        for run in await self._store.unfinished():
            if run.state is not RunState.WAITING and await self._engine.ended(run.id):
                again = await self._store.run(run.id)
                # Its workflow may have ended it between the two looks.
                if again is not None and again.state is run.state:
                    await self._runs.abandon(run.id, run.state, None)

    async def serve(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.step()
            except (StoreUnavailable, SandboxFailed) as error:
                log.warning("janitor.failed", error=str(error))
