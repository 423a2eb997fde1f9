"""The snapshot, brought to where sandboxes can be made from it: built, built anew, or woken."""

import asyncio
from collections.abc import Awaitable, Callable

from bot.daytona.cloud import Cloud
from bot.daytona.failures import DaytonaFailed, NameTaken, Unanswered
from bot.daytona.prices import SOURCE, usd_per_hour
from bot.daytona.snapshot import Definition

Say = Callable[[str], None]

_BUILD_SECONDS = 3600.0
_WAKE_TRIES = 25
_WAKE_POLL_SECONDS = 30.0
_GONE_POLLS = 60
_GONE_POLL_SECONDS = 1.0


async def make_ready(
    cloud: Cloud, definition: Definition, say: Say, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Returns when the snapshot is active; says what happens. Raises DaytonaFailed."""
    name = definition.name
    found = await cloud.snapshots.find(name)
    if found is not None and found.state in ("error", "build_failed"):
        say(f"The snapshot {name} was not built the last time ({found.problem or found.state}); building it anew.")
        await cloud.snapshots.delete(name)
        for _ in range(_GONE_POLLS):
            if (found := await cloud.snapshots.find(name)) is None:
                break
            await sleep(_GONE_POLL_SECONDS)
    if found is None:
        await _build(cloud, definition, say)
    elif found.state == "inactive":
        await _wake(cloud, name, say, sleep)
    elif found.state == "active":
        say(f"The snapshot {name} is there already.")
    else:
        say(f"The snapshot {name} is {found.state}; waiting for it.")
        await cloud.snapshots.wait_for(name, seconds=_BUILD_SECONDS)


async def _build(cloud: Cloud, definition: Definition, say: Say) -> None:
    say(f"Building the snapshot {definition.name} on Daytona; this takes some minutes.")
    try:
        await cloud.snapshots.build(definition, say)
    except (NameTaken, Unanswered) as error:
        say(f"{error}; looking whether it is built all the same.")
        await cloud.snapshots.wait_for(definition.name, seconds=_BUILD_SECONDS)


async def _wake(cloud: Cloud, name: str, say: Say, sleep: Callable[[float], Awaitable[None]]) -> None:
    say(f"The snapshot {name} is inactive, for it was not used for two weeks; activating it.")
    for _ in range(_WAKE_TRIES):
        try:
            return await cloud.snapshots.activate(name)
        except DaytonaFailed as error:
            if error.status != 400:
                raise
            # Daytona refuses it for ten minutes: https://github.com/daytonaio/daytona/pull/4577
            say(f"{error}; trying again in {_WAKE_POLL_SECONDS:.0f} s.")
        await sleep(_WAKE_POLL_SECONDS)
    return await cloud.snapshots.activate(name)


def cost(definition: Definition) -> str:
    """In words."""
    hourly = usd_per_hour(cpu=definition.cpu, memory_gib=definition.memory_gib, disk_gib=definition.disk_gib)
    return (
        f"A sandbox made from it has {definition.cpu} vCPU, {definition.memory_gib} GiB of memory and "
        f"{definition.disk_gib} GiB of disk, and costs about ${hourly:.2f} for each hour that it runs, "
        f"by {SOURCE}."
    )
