"""Makes the label in repositories that the app was given: in the background, slowly, and each one once."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from bot.errors import BackspaceError
from bot.github.answers import At
from bot.github.failures import RateLimited
from bot.intake import repo_config
from bot.intake.repo_config import RepoConfig
from bot.intake.webhook import RepoName
from bot.model import InstallationId, Repo
from bot.runs.label_work import ALL, LabelTask, LabelWork

LABELS_PER_MINUTE = 20
"""In one installation. GitHub allows 80 pieces of content a minute and 500 an hour, most of it for people's answers."""
LABELS_PER_HOUR = 200

_AT_ONCE = 20
_IDLE_SECONDS = 5.0
_BREATH_SECONDS = 0.5
_MOST_TRIES = 8
_BACKOFF = timedelta(seconds=30)
_LONGEST_BACKOFF = timedelta(hours=1)
_COLOR = "5319e7"
_DESCRIPTION = "Backspace works on this issue and opens a pull request"
log = structlog.get_logger("bot.runs.labeller")


class Installations(Protocol):
    def repositories(self, installation: InstallationId) -> AsyncIterator[tuple[RepoName, ...]]:
        """All that the installation may use, a page at a time."""
        ...


class GitHub(Protocol):
    async def config_file(self, at: At) -> bytes | None: ...
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
        self._made: defaultdict[InstallationId, deque[datetime]] = defaultdict(deque)
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
        worked = False
        for task in await self._work.due(self._clock(), _AT_ONCE):
            until = self._until(task.installation_id)
            if until is not None:
                continue
            await self._carry_out(task)
            worked = True
        return worked

    def _until(self, installation: InstallationId) -> datetime | None:
        """Until when this installation has had its share; None when there is room."""
        now, made = self._clock(), self._made[installation]
        while made and now - made[0] >= timedelta(hours=1):
            made.popleft()
        if (wait := self._wait.get(installation)) is not None and now < wait:
            return wait
        lately = [at for at in made if now - at < timedelta(minutes=1)]
        if len(lately) >= LABELS_PER_MINUTE:
            return lately[0] + timedelta(minutes=1)
        return made[0] + timedelta(hours=1) if len(made) >= LABELS_PER_HOUR else None

    async def _carry_out(self, task: LabelTask) -> None:
        try:
            if task.repo == ALL:
                await self._list(task)
            else:
                self._made[task.installation_id].append(self._clock())
                await self._make(task)
        except BackspaceError as error:
            await self._put_off(task, error)

    async def _list(self, task: LabelTask) -> None:
        found = [repo async for page in self._installations.repositories(task.installation_id) for repo in page]
        await self._work.expand(task, found, self._clock())

    async def _make(self, task: LabelTask) -> None:
        at = At(task.installation_id, Repo(task.repo.id, task.repo.full_name, "", private=True))
        content = await self._github.config_file(at)
        config = repo_config.parse(content) if content else repo_config.DEFAULTS
        own = config.label if isinstance(config, RepoConfig) else None
        made = await self._github.create_label(at, own or self._label, _COLOR, _DESCRIPTION)
        await self._work.done(task)
        log.info("label.is_there", repo=task.repo.full_name, made=made)

    async def _put_off(self, task: LabelTask, error: BackspaceError) -> None:
        """A limit is waited for; what may pass is tried again, a while; the rest is given up, for nobody waits."""
        now = self._clock()
        if isinstance(error, RateLimited):
            self._wait[task.installation_id] = error.until
        elif not error.retry_helps or task.tries + 1 >= _MOST_TRIES:
            log.warning("label.given_up", repo=task.repo.full_name, error=str(error))
            await self._work.done(task)
        else:
            await self._work.later(task, now + min(_LONGEST_BACKOFF, _BACKOFF * 2**task.tries))
