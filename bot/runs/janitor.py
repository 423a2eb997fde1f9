"""Re-reads the world at start and every minute: what was left behind goes, what was given up is ended."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from bot.errors import StoreUnavailable
from bot.model import RunId, RunState
from bot.runs.sandboxes import Sandboxes, run_of
from bot.runs.store import Store
from bot.sandbox import Sandbox, SandboxFailed, SandboxId, SandboxLost

_EVERY_SECONDS = 60.0
_YOUNG_SECONDS = 120.0
"""What nobody here knows may have been made a moment ago by a process that has yet to say so."""
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

    def __init__(
        self,
        store: Store,
        engine: Workflows,
        runs: Ends,
        sandbox: Sandbox,
        sandboxes: Sandboxes,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._engine = engine
        self._runs = runs
        self._sandbox = sandbox
        self._sandboxes = sandboxes
        self._monotonic = monotonic
        self._strangers: dict[SandboxId, float] = {}

    async def start(self) -> None:
        """Before the engine takes anything up: sandboxes that cannot be used any more go, those that live on stay."""
        try:
            for left in await self._sandbox.list_owned():
                if await self._is_needed(left) is False or await self._sandbox.attach(left) is None:
                    await self._remove(left)
        except SandboxFailed as error:
            # Where sandboxes live elsewhere, that place may be away for a while; `step` comes in a minute.
            log.warning("janitor.failed", error=str(error))

    async def step(self) -> None:
        await self._end_the_given_up()
        await self._reap()

    async def _reap(self) -> None:
        """Sandboxes of runs that have ended, and those that are nobody's, go."""
        owned = set(await self._sandbox.list_owned())
        kept = {SandboxId(known.key) for known in await self._sandboxes.open()}
        seen = self._monotonic()
        self._strangers = {sandbox: since for sandbox, since in self._strangers.items() if sandbox in owned}
        for sandbox in owned | kept:
            needed = await self._is_needed(sandbox)
            if needed is None and seen - self._strangers.setdefault(sandbox, seen) < _YOUNG_SECONDS:
                continue
            if not needed:
                await self._remove(sandbox)

    async def _is_needed(self, sandbox: SandboxId) -> bool | None:
        """None: nobody here knows its run."""
        run = await self._store.run(run_of(sandbox))
        return None if run is None else run.state is not RunState.FINISHED

    async def _remove(self, sandbox: SandboxId) -> None:
        """One that does not go now goes the next time; the others do not wait for it."""
        log.info("sandbox.left", sandbox=sandbox)
        try:
            await self._sandbox.delete(sandbox)
        except (SandboxFailed, SandboxLost) as error:
            log.warning("sandbox.not_deleted", sandbox=sandbox, error=str(error))

    async def _end_the_given_up(self) -> None:
        """Runs that killed their worker too often, or were cancelled."""
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
