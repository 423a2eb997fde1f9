"""The snapshots of a deployment on Daytona."""

import asyncio
from collections.abc import Callable

from bot.daytona.calls import Calls, FoundSnapshot
from bot.daytona.failures import BuildFailed, DaytonaFailed, Missing, SnapshotUnusable, Unanswered
from bot.daytona.patience import Patience
from bot.daytona.snapshot import Definition

_ACTIVATE_SECONDS = 180.0
_POLL_SECONDS = 1.0
_ENDS = frozenset({"active", "error", "build_failed", "inactive"})


class Snapshots:
    """Methods raise DaytonaFailed."""

    def __init__(self, api: Calls, patience: Patience) -> None:
        self._api = api
        self._patience = patience

    async def find(self, name: str) -> FoundSnapshot | None:
        try:
            return await self._patience.take(lambda: self._api.snapshot(name))
        except Missing:
            return None

    async def build(self, definition: Definition, on_line: Callable[[str], None]) -> None:
        """Returns when it is active. Raises BuildFailed; Unanswered when the connection broke and it may go on."""
        try:
            await self._api.build(definition, on_line)
        except DaytonaFailed as error:
            if error.status is None and not isinstance(error, Unanswered):
                raise BuildFailed(str(error)) from error
            raise

    async def delete(self, name: str) -> None:
        """Of a build that failed. One that does not exist is no error."""
        try:
            await self._patience.take(lambda: self._api.delete_snapshot(name))
        except Missing:
            return

    async def activate(self, name: str) -> None:
        """Returns when it is active. Daytona refuses that for ten minutes after it became inactive."""
        await self._patience.take(lambda: self._api.activate(name))
        await self.wait_for(name, seconds=_ACTIVATE_SECONDS)

    async def wait_for(self, name: str, *, seconds: float) -> None:
        """Returns when it is active. Raises SnapshotUnusable, at the latest after that time."""
        try:
            async with asyncio.timeout(seconds):
                while (found := await self.find(name)) and found.state not in _ENDS:
                    await self._patience.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise SnapshotUnusable(f"the snapshot {name} does not become active") from error
        if found is None or found.state != "active":
            raise SnapshotUnusable(_unusable(name, found))

    async def revive(self, name: str) -> None:
        """Returns when sandboxes can be made from it. Raises SnapshotUnusable."""
        found = await self.find(name)
        if found is None or found.state in ("error", "build_failed"):
            raise SnapshotUnusable(_unusable(name, found))
        try:
            if found.state == "inactive":
                await self.activate(name)
            else:
                await self.wait_for(name, seconds=_ACTIVATE_SECONDS)
        except DaytonaFailed as error:
            raise SnapshotUnusable(f"{_unusable(name, found)} ({error})") from error


def _unusable(name: str, found: FoundSnapshot | None) -> str:
    state = f"is {found.state} on Daytona {found.problem}".rstrip() if found else "does not exist on Daytona"
    return f"the snapshot {name} {state}: run `backspace daytona snapshot`"
