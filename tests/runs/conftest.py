"""A store on a database of its own, and an engine's queues that only write down what they are given."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bot.model import InstallationId, RunId
from bot.runs import database
from bot.runs.store import Store
from tests import postgres


@dataclass
class Queues:
    """What the store handed over, in order; part of the store's transaction only by way of its connection."""

    given: list[tuple[str, RunId]] = field(default_factory=list)
    commands: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rings: int = 0
    refuse: bool = False

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None:
        if self.refuse:
            raise RuntimeError("the engine's tables are not there")
        self.given.append((queue, run_id))

    def submit_command(self, connection: sa.Connection, guid: str, command: dict[str, Any]) -> None:
        self.commands.append((guid, command))

    def ring(self) -> None:
        self.rings += 1


@pytest.fixture
def queues() -> Queues:
    return Queues()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres.cluster() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.slow, postgres.needs_postgres])])
def store(tmp_path: Path, queues: Queues, request: pytest.FixtureRequest) -> Iterator[Store]:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/store.db"
        if request.param == "postgres":
            url = stack.enter_context(postgres.database(request.getfixturevalue("server")))
        writing = database.open_engine(url, pool_size=1, isolation=None)
        reading = database.open_engine(url, pool_size=2)
        database.migrate(writing)
        opened = Store(writing, reading, queues, lambda text: text.replace("hunter2", "[redacted]"))
        yield opened
        opened.close()
        writing.dispose()
        reading.dispose()
