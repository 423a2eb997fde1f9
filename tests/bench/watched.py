"""A server of its own whose one run gets events at a fixed rate: all of Backspace but the work on runs."""

import asyncio
import os
import sys
from datetime import UTC, datetime

from bot import events as ev
from bot.model import Outcome, RunId
from bot.redaction import Redactor
from bot.runs.store import Store
from bot.settings import load
from bot.web.server import Server
from bot.wiring import assemble, spare_garbage_collections
from tests.runs.conftest import opened
from tests.web.serving import a_run, store_on

_OUTPUT = "x" * 400


def now() -> datetime:
    return datetime.now(UTC)


async def happen(store: Store, run_id: RunId, rate: float, seconds: float) -> None:
    """As an agent's commands would, then the end."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begin + number / rate - loop.time()))
        await store.append(run_id, [ev.ToolBash(f"make part-{number}", _OUTPUT, 0)], now())
    await store.finish(run_id, ev.Complete(Outcome.NO_CHANGES, "Done.", 0, 0), now())


async def main(rate: float, seconds: float) -> None:
    """Says which run it is, then waits for a line that says that the watchers are there."""
    settings = load(os.environ, None)
    async with assemble(settings, Redactor([])) as parts:
        # By a store that hands it to no engine: nothing works on it.
        with opened(settings.database_url.get_secret_value()) as tables:
            run_id = await a_run(store_on(tables), at=now())
        server = Server(parts.web, parts.hub, host=settings.host, port=settings.port)
        serving = asyncio.create_task(server.serve())
        spare_garbage_collections()
        parts.ready = True
        sys.stdout.write(f"{run_id}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        await happen(parts.store, run_id, rate, seconds)
        await serving


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), float(sys.argv[2])))
