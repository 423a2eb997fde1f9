"""A broker in front of the scripted model, and clients that reach it as a sandbox does."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from bot.broker.proxy import Broker
from bot.model import Usage
from tests.broker.desk import R1, REAL_KEY, Desk
from tests.fakes.model.server import FakeModel, fake_model


@pytest.fixture(scope="session")
def model_server() -> Iterator[FakeModel]:
    with fake_model("no-changes") as model:
        yield model


@pytest.fixture
def model(model_server: FakeModel) -> Iterator[FakeModel]:
    yield model_server
    model_server.reset()


@pytest.fixture
async def desk(model: FakeModel, tmp_path: Path) -> AsyncIterator[Desk]:
    broker = Broker(
        upstream=model.url,
        api_key=REAL_KEY,
        sockets=tmp_path / "sockets",
        client=httpx.AsyncClient(trust_env=False),
        stall_seconds=1.0,
    )
    desk = Desk(broker)
    yield desk
    await desk.close()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    """Of the run `r1`, on its socket, with its token and a dollar to spend."""
    path = await desk.open(R1, budget_usd=1.0, spent=Usage())
    async with desk.client(path) as client:
        yield client
