"""GitHub's recorded deliveries through the door, whole and bent: never a 5xx, never a run that nobody asked for."""

import json
from collections.abc import AsyncIterator, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count, islice, product
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bot.model import RunId
from bot.runs import database
from bot.runs.reception import Reception
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.web.door import Door
from tests.fakes.github import sign
from tests.intake.deliveries import APP_ID, RECEIVED_AT, Payload
from tests.intake.test_recorded_deliveries import DELIVERIES, EXPECTED, IDS, asking, asks, installed
from tests.runs.conftest import Queues
from tests.shared_data import needs_shared_data

pytestmark = needs_shared_data

SECRET = "It's a Secret to Everybody"
UNKNOWN_ACTIONS = ("pinned", "field_added", "", "créé", "x" * 5_000, None, 5, ["created"], {"created": True})
JUNK: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    1.5,
    "",
    "\x00",
    "\ud800",
    "/backspace do it",
    "x" * 70_000,
    [],
    [None],
    {},
    {"id": 1},
)
EVENTS = ("issue_comment", "issues", "pull_request_review_comment", "pull_request_review")
_STRIDES = (151, 31)
"""Every so many of all changes to those that ask for nothing, and to those that ask, are tried.

Prime to the number of values that are put in, so that all of those are.
"""


@dataclass
class Receiver:
    """The door with a store behind it, and what has become of the deliveries so far."""

    client: httpx.AsyncClient
    queues: Queues
    store: Store
    started: list[RunId] = field(default_factory=list)
    guids: Iterator[int] = field(default_factory=lambda: count(1))

    async def deliver(self, event: str, payload: object) -> httpx.Response:
        body = json.dumps(payload).encode()
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": f"72d3162e-{next(self.guids)}",
            "X-Hub-Signature-256": sign(SECRET, body),
            "Content-Type": "application/json",
        }
        response = await self.client.post("/webhook", content=body, headers=headers)
        assert response.status_code < 500, (event, response.text)
        if run_id := response.json().get("run_id"):
            assert asks(event, payload if isinstance(payload, dict) else {}), (event, payload)
            self.started.append(run_id)
        return response


@pytest.fixture
async def receiver(tmp_path: Path) -> AsyncIterator[Receiver]:
    writing = database.open_engine(f"sqlite:///{tmp_path}/store.db", pool_size=1, isolation=None)
    reading = database.open_engine(f"sqlite:///{tmp_path}/store.db", pool_size=2)
    database.migrate(writing)
    tables, queues, numbers = Tables(writing, reading), Queues(), count(1)
    store = Store(tables, queues, lambda text: text)
    reception = Reception(
        store, "/backspace", "backspace", APP_ID, lambda: RECEIVED_AT, lambda: RunId(f"run-{next(numbers)}")
    )
    door = Door(reception, [SECRET.encode()], count=lambda _: None)
    app = Starlette(routes=[Route("/webhook", door.__call__, methods=["POST"])])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://door") as client:
        yield Receiver(client, queues, store)
    tables.close()
    writing.dispose()
    reading.dispose()


async def test_as_recorded_none_starts_a_run(receiver: Receiver) -> None:
    for event, payload in DELIVERIES:
        response = await receiver.deliver(event, payload)
        assert response.status_code in {200, 202}
        await receiver.deliver(event, installed(payload))
    assert receiver.started == []
    assert receiver.queues.given == []
    assert await receiver.store.unfinished() == []


async def test_the_answer_says_whether_it_is_for_us(receiver: Receiver) -> None:
    told = []
    for name, (event, payload) in zip(IDS, DELIVERIES, strict=True):
        response = await receiver.deliver(event, installed(payload))
        if response.status_code == 202:
            told.append(name)
            assert response.json() == {"result": "accepted"}
        else:
            assert response.json()["reason"]
    assert sorted(told) == sorted(EXPECTED)
    assert len(receiver.queues.errands) == len(EXPECTED)


async def test_whoever_asks_is_given_one_run_each(receiver: Receiver) -> None:
    for event, payload in asking():
        response = await receiver.deliver(event, payload)
        assert response.status_code == 202, (event, response.text)
    # The recorded review comment stands in the recorded review, so the two are one run.
    assert len(receiver.started) == len(asking())
    assert len(set(receiver.started)) == len(asking()) - 1
    assert len(await receiver.store.unfinished()) == len(asking()) - 1


async def test_a_review_with_several_commands_is_one_run(receiver: Receiver) -> None:
    remark, review = (payload for event, payload in asking() if event.startswith("pull_request_review"))
    second = deepcopy(remark)
    second["comment"]["id"] += 1
    for event, payload in [
        ("pull_request_review_comment", remark),
        ("pull_request_review_comment", second),
        ("pull_request_review", review),
    ]:
        await receiver.deliver(event, payload)
        again = await receiver.deliver(event, payload)
        assert again.json()["result"] == "duplicate"
    (run,) = await receiver.store.unfinished()
    assert len(await receiver.store.messages(run.id)) == 2
    assert set(receiver.started) == {run.id}


async def test_no_action_that_is_not_known_starts_a_run(receiver: Receiver) -> None:
    for (_, payload), event, action in product(asking(), EVENTS, UNKNOWN_ACTIONS):
        response = await receiver.deliver(event, {**payload, "action": action})
        assert response.status_code == 200
    assert receiver.started == []


@pytest.mark.slow
async def test_bent_ones_are_answered_and_start_only_what_is_asked_for(receiver: Receiver) -> None:
    as_recorded = [(event, installed(payload)) for event, payload in DELIVERIES]
    for whole, stride in zip((as_recorded, asking()), _STRIDES, strict=True):
        for event, payload in islice(bent(whole), 0, None, stride):
            await receiver.deliver(event, payload)
    unfinished = {run.id for run in await receiver.store.unfinished()}
    assert unfinished == set(receiver.started)
    # The bent ones that still ask are enough to show that asking works.
    assert unfinished


def bent(whole: list[tuple[str, Payload]]) -> Iterator[tuple[str, Payload]]:
    """Each delivery with one value at a time taken out or put in another's place."""
    for event, payload in whole:
        for path, junk in product(places(payload, depth=3), (..., *JUNK)):
            yield event, changed(payload, path, junk)


def places(value: object, *, depth: int, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if depth and isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, depth=depth - 1, path=(*path, key))


def changed(payload: Payload, path: tuple[Any, ...], junk: object) -> Payload:
    """A copy as deep as the change."""
    key, *rest = path
    copy = dict(payload)
    if rest:
        copy[key] = changed(copy[key], tuple(rest), junk)
    elif junk is ...:
        del copy[key]
    else:
        copy[key] = junk
    return copy
