"""Labels for thousands of repositories: each made once, slowly, and also after a restart."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.github.answers import At
from bot.github.failures import Forbidden, InstallationGone, RateLimited, Unavailable
from bot.intake.webhook import RepoName
from bot.model import InstallationId
from bot.runs import database
from bot.runs.label_work import ALL, LabelWork
from bot.runs.labeller import LABELS_PER_HOUR, LABELS_PER_MINUTE, Labeller
from bot.runs.tables import Tables

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
ACME, OTHER = InstallationId(1), InstallationId(2)


@dataclass
class GitHub:
    """The labels that are there, when each was made, and what goes wrong next."""

    now: datetime = START
    repos: list[RepoName] = field(default_factory=list)
    configs: dict[int, bytes] = field(default_factory=dict)
    made: list[tuple[datetime, InstallationId, int, str]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.now

    async def repositories(self, installation: InstallationId) -> AsyncIterator[tuple[RepoName, ...]]:
        for start in range(0, len(self.repos), 100):
            yield tuple(self.repos[start : start + 100])

    async def config_file(self, at: At) -> bytes | None:
        return self.configs.get(at.repo.id)

    async def create_label(self, at: At, name: str, color: str, description: str) -> bool:
        if self.failures:
            raise self.failures.pop(0)
        self.made.append((self.now, at.installation_id, at.repo.id, name))
        return True


@pytest.fixture
def work(tmp_path: Path) -> LabelWork:
    engine = database.open_engine(f"sqlite:///{tmp_path}/store.db", pool_size=1, isolation=None)
    database.migrate(engine)
    return LabelWork(Tables(engine, database.open_engine(f"sqlite:///{tmp_path}/store.db", pool_size=2)))


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


async def test_thousands_are_made_once_each_within_the_limits_and_across_a_restart(work: LabelWork) -> None:
    github = GitHub(repos=repos(700))
    await work.add(ACME, [ALL], github.now)
    await crank(labeller(work, github), github, until=timedelta(hours=1, minutes=30), step=timedelta(seconds=20))
    before = len(github.made)
    assert 0 < before < 700
    await crank(labeller(work, github), github, until=timedelta(hours=4), step=timedelta(seconds=20))
    assert Counter(repo for _, _, repo, _ in github.made) == dict.fromkeys(range(1, 701), 1)
    for at, *_ in github.made:
        minute = sum(at - timedelta(minutes=1) < other <= at for other, *_ in github.made)
        hour = sum(at - timedelta(hours=1) < other <= at for other, *_ in github.made)
        # A restart forgets what it has spent: at most twice the share, still well within GitHub's limits.
        assert minute <= 2 * LABELS_PER_MINUTE
        assert hour <= 2 * LABELS_PER_HOUR


async def test_an_installation_with_many_does_not_hold_up_one_with_few(work: LabelWork) -> None:
    github = GitHub()
    await work.add(ACME, repos(500), github.now)
    await work.add(OTHER, repos(3, first=9000), github.now + timedelta(seconds=1))
    github.now += timedelta(seconds=2)
    await crank(labeller(work, github), github, until=timedelta(minutes=1))
    assert sum(installation == OTHER for _, installation, *_ in github.made) == 3


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
    github = GitHub(failures=[RateLimited(START + timedelta(minutes=5))])
    await work.add(ACME, repos(2), github.now)
    made = labeller(work, github)
    await crank(made, github, until=timedelta(minutes=4))
    assert github.made == []
    await crank(made, github, until=timedelta(minutes=3))
    assert len(github.made) == 2


async def test_what_may_pass_is_tried_again_and_what_cannot_is_given_up(work: LabelWork) -> None:
    github = GitHub(failures=[Unavailable("502"), Forbidden("archived"), InstallationGone("gone")])
    await work.add(ACME, repos(4), github.now)
    await crank(labeller(work, github), github, until=timedelta(minutes=5))
    assert sorted(repo for _, _, repo, _ in github.made) == [1, 4]
    assert await work.due(github.now + timedelta(days=1), 10) == []


async def test_an_outage_is_not_waited_out_for_ever(work: LabelWork) -> None:
    github = GitHub(failures=[Unavailable("502")] * 50)
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
