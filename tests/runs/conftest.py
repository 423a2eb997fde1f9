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
from bot.runs.tables import Tables
from tests import postgres


@dataclass
class Queues:
    """What the store handed over, in order; part of the store's transaction only by way of its connection."""

    given: list[tuple[str, RunId]] = field(default_factory=list)
    errands: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rings: int = 0
    refuse: bool = False

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None:
        if self.refuse:
            raise RuntimeError("the engine's tables are not there")
        self.given.append((queue, run_id))

    def submit_errand(self, connection: sa.Connection, guid: str, errand: dict[str, Any]) -> None:
        self.errands.append((guid, errand))

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
def database_url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
    else:
        with postgres.database(request.getfixturevalue("server")) as url:
            yield url


@pytest.fixture
def tables(database_url: str) -> Iterator[Tables]:
    with opened(database_url) as tables:
        yield tables


@contextlib.contextmanager
def opened(url: str) -> Iterator[Tables]:
    """The database as a process opens it."""
    writing = database.open_engine(url, pool_size=1, isolation=None)
    reading = database.open_engine(url, pool_size=2)
    database.migrate(writing)
    tables = Tables(writing, reading)
    try:
        yield tables
    finally:
        tables.close()
        writing.dispose()
        reading.dispose()


@pytest.fixture
def store(tables: Tables, queues: Queues) -> Store:
    return Store(tables, queues, lambda text: text.replace("hunter2", "[redacted]"))
