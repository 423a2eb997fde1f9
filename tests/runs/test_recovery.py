"""Deliveries that GitHub could not make: which are taken in, which are left, and what if GitHub itself fails."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from bot.github.app import Attempt, Attempts, Sent
from bot.github.failures import Unavailable
from bot.model import RunId
from bot.runs.reception import Reception
from bot.runs.recovery import Recovery
from bot.runs.store import Store
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
    failing: bool = False

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
        if self.failing:
            raise Unavailable("502")
        self.asked.append(attempt.guid)
        payload = next(payload for listed, payload in self.listed if listed.id == attempt.id)
        return Sent({"X-GitHub-Event": attempt.event, "X-GitHub-Delivery": attempt.guid}, payload)


@pytest.fixture
def github() -> GitHub:
    return GitHub()


def recovery(github: GitHub, store: Store) -> Recovery:
    numbers = count(1)
    reception = Reception(store, "/backspace", "backspace", None, github.clock, lambda: RunId(f"run-{next(numbers)}"))
    return Recovery(github, reception, store, clock=github.clock)


async def asked(store: Store) -> list[str]:
    return [run.request.prompt for run in await store.unfinished()]


async def test_what_failed_is_taken_in_once_in_the_order_in_which_it_was_said(github: GitHub, store: Store) -> None:
    for number in range(1, 6):
        github.tried(f"guid-{number}", number, ago=timedelta(hours=10 - number))
    made = recovery(github, store)
    assert await made.step() == 5
    assert github.asked == [f"guid-{number}" for number in range(1, 6)]
    assert len(await asked(store)) == 5
    assert await made.step() == 0
    assert await recovery(github, store).step() == 0


async def test_what_arrived_by_any_attempt_is_left_alone(github: GitHub, store: Store) -> None:
    github.tried("first-failed", 1, ago=timedelta(hours=2))
    github.tried("first-failed", 1, ago=timedelta(hours=1), arrived=True)
    github.tried("arrived", 2, ago=timedelta(hours=1), arrived=True)
    github.tried("not-read", 3, ago=timedelta(hours=1), event="star")
    assert await recovery(github, store).step() == 0
    assert github.asked == []


async def test_what_is_still_under_way_is_left_to_the_next_round_and_not_forgotten(
    github: GitHub, store: Store
) -> None:
    github.tried("young", 1, ago=timedelta(seconds=20))
    made = recovery(github, store)
    assert await made.step() == 0
    github.now += timedelta(minutes=5)
    assert await made.step() == 1


async def test_what_is_older_than_github_keeps_is_not_looked_for(github: GitHub, store: Store) -> None:
    github.tried("ancient", 1, ago=timedelta(days=4))
    github.tried("old", 2, ago=timedelta(days=2))
    assert await recovery(github, store).step() == 1
    assert github.asked == ["old"]


async def test_a_failure_of_github_loses_nothing(github: GitHub, store: Store) -> None:
    github.tried("lost", 1, ago=timedelta(hours=1))
    made = recovery(github, store)
    github.failing = True
    with pytest.raises(Unavailable):
        await made.step()
    github.failing = False
    github.now += timedelta(minutes=30)
    assert await made.step() == 1
    assert len(await asked(store)) == 1


async def test_a_payload_that_cannot_be_read_holds_up_no_other(github: GitHub, store: Store) -> None:
    github.tried("poison", 1, ago=timedelta(hours=2))
    github.listed[0] = (github.listed[0][0], json.loads('{"action": 7, "comment": [], "issue": "?"}'))
    github.tried("fine", 2, ago=timedelta(hours=1))
    assert await recovery(github, store).step() == 2
    assert len(await asked(store)) == 1
