"""Makes the label in repositories that the app was given: in the background, slowly, and each one once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError
from bot.github.answers import At
from bot.github.failures import (
    Forbidden,
    InstallationGone,
    NotFound,
    RateLimited,
    RepositoryNotInstalled,
    Unprocessable,
)
from bot.intake import repo_config
from bot.intake.repo_config import RepoConfig
from bot.intake.webhook import RepoName
from bot.model import InstallationId, Repo
from bot.runs.label_work import ALL, LabelTask, LabelWork

LABELS_AT_ONCE = 20
"""In one installation, after which there is a pause before each."""
PAUSE = timedelta(seconds=18)
"""At most 220 an hour. GitHub allows 80 pieces of content a minute and 500 an hour, most of it for people's answers."""

_IDLE_SECONDS = 5.0
_BREATH_SECONDS = 0.5
_MOST_TRIES = 12
_BACKOFF = timedelta(seconds=30)
_LONGEST_BACKOFF = timedelta(hours=1)
_HOPELESS = (Forbidden, InstallationGone, NotFound, RepositoryNotInstalled, Unprocessable)
_COLOR = "5319e7"
_DESCRIPTION = "Backspace works on this issue and opens a pull request"
log = structlog.get_logger("bot.runs.labeller")


class Installations(Protocol):
    def repositories(self, installation: InstallationId) -> AsyncIterator[tuple[RepoName, ...]]:
        """All that the installation may use, a page at a time."""
        ...


class GitHub(Protocol):
    async def config_file(self, at: At, *, urgent: bool = ...) -> bytes | None: ...
    async def create_label(self, at: At, name: str, color: str, description: str) -> bool: ...


class Labeller:
    """`step` makes what is due and returns; `serve` is only the loop around it."""

    def __init__(
        self,
        work: LabelWork,
        installations: Installations,
        github: GitHub,
        *,
        label: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._work = work
        self._installations = installations
        self._github = github
        self._label = label
        self._clock = clock
        self._spent_until: dict[InstallationId, datetime] = {}
        """Each label moves it on by a pause; how far ahead of now it may be is what may be made at once."""
        self._wait: dict[InstallationId, datetime] = {}

    async def serve(self) -> None:
        """Until it is cancelled."""
        while True:
            worked = False
            try:
                worked = await self.step()
            except BackspaceError as error:
                log.warning("labeller.failed", error=str(error))
            await asyncio.sleep(_BREATH_SECONDS if worked else _IDLE_SECONDS)

    async def step(self) -> bool:
        """Whether anything was done; False also when all that is left has to wait."""
        waiting = {installation for installation in (*self._spent_until, *self._wait) if not self._may_go(installation)}
        by_installation: defaultdict[InstallationId, list[LabelTask]] = defaultdict(list)
        for task in await self._work.due(self._clock(), LABELS_AT_ONCE, waiting):
            by_installation[task.installation_id].append(task)
        # One that GitHub answers slowly, or not at all, holds up no other.
        each = (self._installation(*its) for its in by_installation.items())
        done = await asyncio.gather(*each, return_exceptions=True)
        for result in done:
            if isinstance(result, BaseException):
                raise result
        return any(done)

    def _may_go(self, installation: InstallationId) -> bool:
        now = self._clock()
        if now < self._wait.get(installation, now):
            return False
        return self._spent_until.get(installation, now) - now <= PAUSE * (LABELS_AT_ONCE - 1)

    async def _installation(self, installation: InstallationId, tasks: Sequence[LabelTask]) -> bool:
        if installation not in self._spent_until:
            earlier = await self._work.spent_until(installation)
            self._spent_until[installation] = earlier or self._clock()
        worked = False
        for task in tasks:
            if not self._may_go(installation):
                break
            await self._carry_out(task)
            worked = True
        return worked

    async def _carry_out(self, task: LabelTask) -> None:
        try:
            if task.repo == ALL:
                await self._list(task)
            else:
                await self._make(task)
        except BackspaceError as error:
            await self._put_off(task, error)

    async def _list(self, task: LabelTask) -> None:
        found = [repo async for page in self._installations.repositories(task.installation_id) for repo in page]
        await self._work.expand(task, found, self._clock())
        log.info("label.repositories_listed", installation=task.installation_id, repositories=len(found))

    async def _make(self, task: LabelTask) -> None:
        at = At(task.installation_id, Repo(task.repo.id, task.repo.full_name, "", private=True))
        content = await self._github.config_file(at, urgent=False)
        config = repo_config.parse(content) if content else repo_config.DEFAULTS
        own = config.label if isinstance(config, RepoConfig) else None
        spent = self._spend(task.installation_id)
        made = await self._github.create_label(at, own or self._label, _COLOR, _DESCRIPTION)
        await self._work.done(task, spent)
        log.info("label.is_there", repo=task.repo.full_name, made=made)

    def _spend(self, installation: InstallationId) -> datetime:
        spent = max(self._spent_until[installation], self._clock()) + PAUSE
        self._spent_until[installation] = spent
        return spent

    async def _put_off(self, task: LabelTask, error: BackspaceError) -> None:
        """A limit is waited for; what may pass is tried again, a while; the rest is given up, for nobody waits."""
        now, installation = self._clock(), task.installation_id
        if isinstance(error, RateLimited):
            self._wait[installation] = error.until
            return
        if isinstance(error, _HOPELESS) or task.tries + 1 >= _MOST_TRIES:
            log.warning("label.given_up", installation=installation, repo=task.repo.full_name, error=str(error))
            await self._work.done(task, self._spent_until[installation])
            return
        # Whatever it is, the installation's other repositories will meet it, too.
        self._wait[installation] = now + _BACKOFF
        await self._work.later(task, now + min(_LONGEST_BACKOFF, _BACKOFF * 2**task.tries))
