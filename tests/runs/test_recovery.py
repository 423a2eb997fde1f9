"""Deliveries that GitHub could not make: which are taken in, which are left, and what if GitHub itself fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from bot.errors import StoreUnavailable
from bot.github.app import Attempt, Attempts, Sent
from bot.github.failures import AppRefused, GitHubFailed, Unavailable
from bot.intake import webhook
from bot.intake.webhook import Delivery
from bot.model import RunId
from bot.runs.delivery_log import DeliveryLog
from bot.runs.reception import Reception, Taken
from bot.runs.recovery import Recovery
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.intake.deliveries import recorded

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
_PAGE = 3


def _comment(number: int) -> Mapping[str, Any]:
    said = {"comment.id": number, "comment.body": f"/backspace wish {number}", "issue.number": number}
    return recorded("issue_comment.created", said)


@dataclass
class GitHub:
    """Its list of attempts, oldest first, in small pages."""

    now: datetime = NOW
    listed: list[tuple[Attempt, Mapping[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    """By delivery: what goes wrong when it is asked for, one after the other."""

    def clock(self) -> datetime:
        return self.now

    def tried(
        self, guid: str, comment: int, *, ago: timedelta, arrived: bool = False, event: str = "issue_comment"
    ) -> None:
        attempt = Attempt(len(self.listed) + 1, guid, self.now - ago, arrived, event)
        self.listed.append((attempt, _comment(comment)))

    async def attempts(self, rest: str = "") -> Attempts:
        newest = [attempt for attempt, _ in reversed(self.listed)]
        start = int(rest or 0)
        page = tuple(newest[start : start + _PAGE])
        return Attempts(page, str(start + _PAGE) if start + _PAGE < len(newest) else "")

    async def sent(self, attempt: Attempt) -> Sent:
        self.asked.append(attempt.guid)
        if failures := self.failures.get(attempt.guid):
            raise failures.pop(0)
        payload = next(payload for listed, payload in self.listed if listed.id == attempt.id)
        return Sent({"X-GitHub-Event": attempt.event, "X-GitHub-Delivery": attempt.guid}, payload)


@pytest.fixture
def github() -> GitHub:
    return GitHub()


@dataclass
class Door:
    """The reception, with what goes wrong in it first."""

    reception: Reception
    failures: list[Exception] = field(default_factory=list)

    async def take(self, delivery: Delivery) -> Taken:
        if self.failures:
            raise self.failures.pop(0)
        return await self.reception.take(delivery)


def door(github: GitHub, store: Store, *failures: Exception) -> Door:
    numbers = count(1)
    reception = Reception(store, "/backspace", "backspace", None, github.clock, lambda: RunId(f"run-{next(numbers)}"))
    return Door(reception, list(failures))


def recovery(github: GitHub, store: Store, tables: Tables, *failures: Exception) -> Recovery:
    return Recovery(github, door(github, store, *failures), DeliveryLog(tables), clock=github.clock)


async def asked(store: Store) -> list[str]:
    return [run.request.prompt for run in await store.unfinished()]


async def test_what_failed_is_taken_in_once_in_the_order_in_which_it_was_said(
    github: GitHub, store: Store, tables: Tables
) -> None:
    for number in range(1, 6):
        github.tried(f"guid-{number}", number, ago=timedelta(hours=10 - number))
    made = recovery(github, store, tables)
    assert await made.step() == 5
    assert github.asked == [f"guid-{number}" for number in range(1, 6)]
    assert len(await asked(store)) == 5
    assert await made.step() == 0
    assert await recovery(github, store, tables).step() == 0


async def test_what_arrived_by_any_attempt_is_left_alone(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("first-failed", 1, ago=timedelta(hours=2))
    github.tried("first-failed", 1, ago=timedelta(hours=1), arrived=True)
    github.tried("arrived", 2, ago=timedelta(hours=1), arrived=True)
    github.tried("not-read", 3, ago=timedelta(hours=1), event="star")
    assert await recovery(github, store, tables).step() == 0
    assert github.asked == []


async def test_what_is_still_under_way_is_left_to_the_next_round_and_not_forgotten(
    github: GitHub, store: Store, tables: Tables
) -> None:
    github.tried("young", 1, ago=timedelta(seconds=20))
    made = recovery(github, store, tables)
    assert await made.step() == 0
    github.now += timedelta(minutes=5)
    assert await made.step() == 1


async def test_what_is_older_than_github_keeps_is_not_looked_for(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("ancient", 1, ago=timedelta(days=4))
    github.tried("old", 2, ago=timedelta(days=2))
    assert await recovery(github, store, tables).step() == 1
    assert github.asked == ["old"]


async def test_what_came_by_the_door_meanwhile_is_left_alone(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("redelivered", 1, ago=timedelta(hours=1))
    delivery = webhook.parse(
        {"X-GitHub-Event": "issue_comment", "X-GitHub-Delivery": "redelivered"}, json.dumps(_comment(1)).encode()
    )
    assert isinstance(delivery, Delivery)
    await door(github, store).take(delivery)
    assert await recovery(github, store, tables).step() == 0
    assert github.asked == []


async def test_an_old_request_is_as_old_as_the_comment(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("lost", 1, ago=timedelta(hours=1))
    await recovery(github, store, tables).step()
    (run,) = await store.unfinished()
    assert run.request.triggered_at == datetime.fromisoformat(_comment(1)["comment"]["created_at"])
    assert run.created_at == NOW


async def test_a_clock_that_is_ahead_of_githubs_loses_nothing(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("first", 1, ago=timedelta(hours=1), arrived=True)
    made = recovery(github, store, tables)
    github.now += timedelta(hours=2)
    assert await made.step() == 0
    github.tried("second", 2, ago=timedelta(hours=2, minutes=-1))
    assert await made.step() == 1
    assert len(await asked(store)) == 1


async def test_many_are_taken_in_over_several_rounds(github: GitHub, store: Store, tables: Tables) -> None:
    for number in range(1, 451):
        github.tried(f"guid-{number}", number, ago=timedelta(hours=20) - timedelta(minutes=number))
    made = recovery(github, store, tables)
    assert [await made.step() for _ in range(4)] == [200, 200, 50, 0]
    assert github.asked == [f"guid-{number}" for number in range(1, 451)]
    assert len(await asked(store)) == 450


async def test_a_failure_of_github_loses_nothing(github: GitHub, store: Store, tables: Tables) -> None:
    for number in range(1, 8):
        github.tried(f"guid-{number}", number, ago=timedelta(hours=10 - number))
        github.failures[f"guid-{number}"] = [Unavailable("502")]
    made = recovery(github, store, tables)
    await made.step()
    assert len(github.asked) == 3, "when GitHub fails again and again it is left alone"
    for _ in range(4):
        github.now += timedelta(minutes=5)
        await made.step()
    assert len(await asked(store)) == 7


async def test_what_github_cannot_show_holds_up_no_other_and_is_not_asked_for_for_ever(
    github: GitHub, store: Store, tables: Tables
) -> None:
    github.tried("broken", 1, ago=timedelta(hours=3))
    github.tried("vanished", 2, ago=timedelta(hours=2))
    github.tried("fine", 3, ago=timedelta(hours=1))
    github.failures = {"broken": [Unavailable("502")] * 1000, "vanished": [GitHubFailed("404")] * 1000}
    made = recovery(github, store, tables)
    await made.step()
    assert len(await asked(store)) == 1
    for _ in range(100):
        github.now += timedelta(minutes=5)
        await made.step()
    assert github.asked.count("vanished") == github.asked.count("fine") == 1
    assert 10 < github.asked.count("broken") < 50


async def test_when_github_refuses_the_app_nothing_is_given_up(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("lost", 1, ago=timedelta(hours=1))
    github.failures["lost"] = [AppRefused("401")]
    made = recovery(github, store, tables)
    with pytest.raises(AppRefused):
        await made.step()
    github.now += timedelta(hours=5)
    await made.step()
    assert len(await asked(store)) == 1


async def test_while_the_database_is_away_nothing_is_given_up(github: GitHub, store: Store, tables: Tables) -> None:
    github.tried("lost", 1, ago=timedelta(hours=1))
    made = recovery(github, store, tables, StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await made.step()
    github.now += timedelta(minutes=30)
    await made.step()
    assert len(await asked(store)) == 1


@pytest.mark.parametrize(
    "poison",
    [
        pytest.param({"action": 7, "comment": [], "issue": "?"}, id="of other types"),
        pytest.param({}, id="empty"),
        pytest.param({"action": "created", "comment": {"body": "/backspace \ud800\x00"}}, id="not storable"),
    ],
)
async def test_a_payload_that_cannot_be_read_holds_up_no_other_and_is_fetched_once(
    github: GitHub, store: Store, tables: Tables, poison: Mapping[str, Any]
) -> None:
    github.tried("poison", 1, ago=timedelta(hours=2))
    github.listed[0] = (github.listed[0][0], poison)
    github.tried("fine", 2, ago=timedelta(hours=1))
    made = recovery(github, store, tables)
    assert await made.step() == 2
    assert await made.step() == 0
    assert len(await asked(store)) == 1


async def test_a_delivery_that_breaks_us_holds_up_no_other_and_is_fetched_once(
    github: GitHub, store: Store, tables: Tables
) -> None:
    github.tried("breaks", 1, ago=timedelta(hours=2))
    github.tried("fine", 2, ago=timedelta(hours=1))
    made = recovery(github, store, tables, KeyError("surprise"))
    await made.step()
    assert await made.step() == 0
    assert github.asked == ["breaks", "fine"]
    assert len(await asked(store)) == 1
