"""Labels for thousands of repositories: each made once, slowly, and also after a restart."""

import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.github.answers import At
from bot.github.failures import AppRefused, Forbidden, InstallationGone, RateLimited, Unavailable
from bot.intake.webhook import RepoName
from bot.model import InstallationId
from bot.runs import database
from bot.runs.label_work import ALL, LabelWork
from bot.runs.labeller import LABELS_AT_ONCE, PAUSE, Labeller
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests import postgres
from tests.runs.reporting import reporting

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ACME, OTHER = InstallationId(1), InstallationId(2)


@dataclass
class GitHub:
    """The labels that are there, when each was made, and what goes wrong next."""

    now: datetime = START
    repos: list[RepoName] = field(default_factory=list)
    listings: list[Exception] = field(default_factory=list)
    """What goes wrong when they are asked for."""
    configs: dict[int, bytes] = field(default_factory=dict)
    made: list[tuple[datetime, InstallationId, int, str]] = field(default_factory=list)
    failures: dict[int, list[Exception]] = field(default_factory=dict)
    """By repository: what goes wrong, one after the other."""

    def clock(self) -> datetime:
        return self.now

    async def repositories(self, installation: InstallationId) -> AsyncIterator[tuple[RepoName, ...]]:
        if self.listings:
            raise self.listings.pop(0)
        for start in range(0, len(self.repos), 100):
            yield tuple(self.repos[start : start + 100])

    async def config_file(self, at: At, *, urgent: bool = True) -> bytes | None:
        return self.configs.get(at.repo.id)

    async def create_label(self, at: At, name: str, color: str, description: str) -> bool:
        if failures := self.failures.get(at.repo.id):
            raise failures.pop(0)
        self.made.append((self.now, at.installation_id, at.repo.id, name))
        return True


_SQLITE = pytest.mark.parametrize("work", ["sqlite"], indirect=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=[pytest.mark.slow, postgres.needs_postgres])])
def work(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LabelWork]:
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path}/labels.db"
        if request.param == "postgres":
            url = stack.enter_context(postgres.database(request.getfixturevalue("server")))
        writing = database.open_engine(url, pool_size=1, isolation=None)
        stack.callback(writing.dispose)
        reading = database.open_engine(url, pool_size=2)
        stack.callback(reading.dispose)
        database.migrate(writing)
        tables = Tables(writing, reading)
        stack.callback(tables.close)
        yield LabelWork(tables)


def labeller(work: LabelWork, github: GitHub) -> Labeller:
    return Labeller(work, github, github, label="backspace", clock=github.clock)


def repos(count: int, first: int = 1) -> list[RepoName]:
    return [RepoName(number, f"acme/r{number}") for number in range(first, first + count)]


async def crank(made: Labeller, github: GitHub, *, until: timedelta, step: timedelta = timedelta(seconds=10)) -> None:
    end = github.now + until
    while github.now < end:
        while await made.step():
            pass
        github.now += step


def most_within(span: timedelta, moments: list[datetime]) -> int:
    """How many of them, at the most, lie within one span."""
    window: deque[datetime] = deque()
    most = 0
    for at in sorted(moments):
        window.append(at)
        while at - window[0] >= span:
            window.popleft()
        most = max(most, len(window))
    return most


@pytest.mark.slow
@_SQLITE
async def test_thousands_are_made_once_each_within_the_limits_and_across_restarts(work: LabelWork) -> None:
    github = GitHub(repos=repos(3000))
    await work.add(ACME, [ALL], github.now)
    for hours in (1, 2, 4, 9):
        await crank(labeller(work, github), github, until=timedelta(hours=hours), step=timedelta(minutes=1))
        assert 0 < len(github.made) < 3000 or hours == 9
    assert Counter(repo for _, _, repo, _ in github.made) == dict.fromkeys(range(1, 3001), 1)
    moments = [at for at, *_ in github.made]
    assert most_within(timedelta(minutes=1), moments) <= LABELS_AT_ONCE
    assert most_within(timedelta(hours=1), moments) <= LABELS_AT_ONCE + timedelta(hours=1) / PAUSE


async def test_one_that_is_installed_with_thousands_is_stored_in_one_go(work: LabelWork) -> None:
    await work.add(ACME, repos(5000), START)
    await work.add(ACME, repos(6000), START)
    assert len(await work.due(START, 10_000)) == 6000
    await work.drop(ACME, range(1, 6000))
    assert [task.repo.id for task in await work.due(START, 10)] == [6000]


async def test_an_installation_with_many_does_not_hold_up_one_with_few(work: LabelWork) -> None:
    github = GitHub()
    await work.add(ACME, repos(500), github.now)
    await work.add(OTHER, repos(3, first=9000), github.now + timedelta(seconds=1))
    github.now += timedelta(seconds=2)
    await crank(labeller(work, github), github, until=timedelta(minutes=1))
    assert sum(installation == OTHER for _, installation, *_ in github.made) == 3


async def test_many_installations_that_have_to_wait_do_not_hold_up_the_next(work: LabelWork) -> None:
    github = GitHub()
    for number in range(LABELS_AT_ONCE + 5):
        await work.add(InstallationId(100 + number), repos(LABELS_AT_ONCE + 1), github.now)
    made = labeller(work, github)
    while await made.step():
        pass
    assert Counter(installation for _, installation, *_ in github.made) == {
        InstallationId(100 + number): LABELS_AT_ONCE for number in range(LABELS_AT_ONCE + 5)
    }


async def test_an_installation_that_cannot_be_listed_now_is_listed_later(work: LabelWork) -> None:
    github = GitHub(repos=repos(3), listings=[Unavailable("502")])
    await work.add(ACME, [ALL], github.now)
    await crank(labeller(work, github), github, until=timedelta(minutes=5))
    assert sorted(repo for _, _, repo, _ in github.made) == [1, 2, 3]


async def test_an_installation_that_is_gone_is_not_listed_for_ever(work: LabelWork) -> None:
    github = GitHub(listings=[InstallationGone("gone")])
    await work.add(ACME, [ALL], github.now)
    await crank(labeller(work, github), github, until=timedelta(minutes=1))
    assert await work.due(github.now + timedelta(days=1), 10) == []


async def test_a_repositorys_own_label_is_made_instead(work: LabelWork) -> None:
    github = GitHub(configs={1: b"label: robot\n", 2: b"label: [broken\n"})
    await work.add(ACME, repos(3), github.now)
    await crank(labeller(work, github), github, until=timedelta(minutes=1))
    assert sorted((repo, name) for _, _, repo, name in github.made) == [
        (1, "robot"),
        (2, "backspace"),
        (3, "backspace"),
    ]


async def test_a_limit_is_waited_for(work: LabelWork) -> None:
    github = GitHub(failures={1: [RateLimited(START + timedelta(minutes=5))]})
    await work.add(ACME, repos(2), github.now)
    made = labeller(work, github)
    await crank(made, github, until=timedelta(minutes=4))
    assert github.made == []
    await crank(made, github, until=timedelta(minutes=3))
    assert len(github.made) == 2


async def test_what_may_pass_is_tried_again_and_what_cannot_is_given_up(work: LabelWork) -> None:
    github = GitHub(
        failures={1: [Unavailable("502"), AppRefused("401")], 2: [Forbidden("archived")], 3: [InstallationGone("gone")]}
    )
    await work.add(ACME, repos(4), github.now)
    await crank(labeller(work, github), github, until=timedelta(minutes=5))
    assert sorted(repo for _, _, repo, _ in github.made) == [1, 4]
    assert await work.due(github.now + timedelta(days=1), 10) == []


async def test_an_outage_is_not_waited_out_for_ever(work: LabelWork) -> None:
    github = GitHub(failures={1: [Unavailable("502")] * 50})
    await work.add(ACME, repos(1), github.now)
    await crank(labeller(work, github), github, until=timedelta(days=1), step=timedelta(minutes=10))
    assert await work.due(github.now, 10) == []
    assert github.made == []


async def test_work_of_an_installation_that_is_gone_is_dropped(work: LabelWork) -> None:
    await work.add(ACME, repos(3), START)
    await work.add(OTHER, repos(2, first=50), START)
    await work.drop(ACME, [1])
    assert {task.repo.id for task in await work.due(START, 10)} == {2, 3, 50, 51}
    await work.drop(ACME, None)
    assert {task.repo.id for task in await work.due(START, 10)} == {50, 51}


@_SQLITE
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_people_are_answered_at_once_while_labels_are_made(tmp_path: Path, work: LabelWork, store: Store) -> None:
    """With GitHub's real limits and ours between: no call is refused, and no answer waits."""
    async with reporting(tmp_path / "github", store) as world:
        fake, client, at = world.fake, world.client, world.at
        issue = fake.open_issue("octo", "It subtracts")
        others = [fake.add_repo(f"acme/r{number}") for number in range(60)]
        fake.installation(at.installation_id).repositories += others
        await work.add(at.installation_id, [ALL], fake.clock())
        made = Labeller(work, client.app, client, label="backspace", clock=fake.clock)
        answers = 0
        for _ in range(30):
            while await made.step():
                pass
            for _ in range(5):
                before = fake.clock()
                await client.post_comment(at, issue.number, f"<!-- {answers} -->", f"<!-- {answers} -->")
                answers += 1
                assert fake.clock() == before
            fake.clock.advance(30)
        assert all("backspace" in repository.labels for repository in others)
        assert len(issue.comments) == answers
        assert not [logged for logged in fake.requests if logged.status in (403, 429)]
