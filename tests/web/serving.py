"""A web application on loopback, served as in production, and a store behind it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

from starlette.types import ASGIApp

from bot import events as ev
from bot.model import Actor, InstallationId, Issue, Outcome, Repo, RunId, RunRequest, TriggerKind
from bot.runs.lifecycle import NewRun
from bot.runs.records import Accepted
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.web.connection import Connection
from bot.web.hub import Hub
from bot.web.server import Server
from tests.prompt_server import PromptServer
from tests.runs.conftest import Queues

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
_WAIT_SECONDS = 20.0
_numbers = count(1)


async def until(fact: Callable[[], object], what: str = "") -> None:
    """Wait for a fact; fails with `what` when it does not come about."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WAIT_SECONDS):
            while not fact():  # noqa: ASYNC110 -- facts of a server that rings no bell for tests
                await asyncio.sleep(0.01)
            return
    raise AssertionError(f"did not come about: {what or fact}")


class _Served(Server, PromptServer):
    """Ours, in a hurry to end."""


@contextlib.asynccontextmanager
async def served(
    app: ASGIApp, hub: Hub | None, connection: type[Connection] = Connection
) -> AsyncIterator[tuple[str, PromptServer]]:
    """The address, and the server, which is told to end at the end."""
    server = _Served(app, hub, host="127.0.0.1", port=0)
    server.config.http = connection
    serving = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started, "the server listens")
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.stop()
        await serving


def store_on(tables: Tables) -> Store:
    return Store(tables, Queues(), lambda text: text)


async def a_run(
    store: Store,
    *,
    repo: Repo = Repo(1, "acme/calc", "main", private=True),  # noqa: B008 -- frozen
    installation: int = 7,
    actor: str = "octo",
    at: datetime = NOON,
    issue: int | None = None,
) -> RunId:
    """With its first event."""
    author = Actor(3, actor)
    request = RunRequest(
        repo=repo,
        installation_id=InstallationId(installation),
        trigger=TriggerKind.COMMENT if issue else TriggerKind.API,
        actor=author,
        prompt="Fix it.",
        issue=Issue(issue, "Adding is wrong", "It subtracts.", author, is_pull_request=False) if issue else None,
        comment_id=99 if issue else None,
        triggered_at=at,
    )
    number = next(_numbers)
    started = await store.start(NewRun(RunId(f"run-{number}"), request, f"wish-{number}"), at)
    assert isinstance(started, Accepted)
    return started.run_id


def said(*words: object) -> list[ev.Event]:
    return [ev.AiMessage(str(word)) for word in words]


async def ended(store: Store, run_id: RunId, outcome: Outcome = Outcome.NO_CHANGES) -> None:
    await store.finish(run_id, ev.Complete(outcome, "Done.", 0, 0), NOON)


@dataclass(frozen=True)
class Message:
    seq: int
    body: dict[str, object]


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Of a stream that has ended, or is cut between two messages."""
    seq = 0
    for line in lines:
        if line.startswith("id: "):
            seq = int(line.removeprefix("id: "))
        elif line.startswith("data: "):
            yield Message(seq, json.loads(line.removeprefix("data: ")))
